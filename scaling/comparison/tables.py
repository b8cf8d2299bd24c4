"""A comparison as files hold it."""

from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd

from blocks.arch import format_arch
from blocks.cost import count
from scaling.comparison.contenders import Contender
from scaling.comparison.judgement import Outcome
from search.config.quality import ACCURACY, Quality
from search.study.baseline import Baseline


def outcome_table(
    outcome: Outcome, baseline: Baseline, seeds: int, quality: Quality = ACCURACY
) -> pd.DataFrame:
    """A row per rule and ratio, B0 first: what it costs and reached (fractions, not percents)."""
    base = count(baseline.arch, baseline.num_classes)
    b0 = Contender("b0", 1.0, baseline.arch, base, 1.0, 1.0, 1.0, 0.0, 0.0)
    rows = []
    for each in (b0, *outcome.contenders):
        spelling, key = format_arch(each.arch), (each.rule, each.ratio)
        reached = outcome.accuracies.get(spelling)
        found, chance = outcome.differences.get(key), outcome.chances.get(key)
        rows.append(
            {
                "ratio": each.ratio,
                "rule": each.rule,
                "depth": round(each.depth, 4),
                "width": round(each.width, 4),
                "resolution": round(each.resolution, 4),
                "pixels": each.arch.resolution,
                "blocks": sum(stage.repeats for stage in each.arch.stages),
                **asdict(each.cost),
                "macs_ratio": each.cost.macs / base.macs,
                "residual": round(each.residual, 5),
                "deviation": round(each.deviation, 4),
                "degrees_off_rule": round(each.degrees, 1),
                "same_as": outcome.same.get(key),
                "seeds": 0 if reached is None else seeds,
                f"{quality.name}_mean": None if reached is None else float(np.mean(reached)),
                f"{quality.name}_std": None if reached is None else float(np.std(reached, ddof=1)),
                "fitted_less_rule": None if found is None else found.value,
                "low": None if found is None else found.low,
                "high": None if found is None else found.high,
                "p_fitted_no_worse": None if found is None else found.probability,
                "p_training_no_worse": None if chance is None else chance.value,
                "p_training_low": None if chance is None else chance.low,
                "p_training_high": None if chance is None else chance.high,
                "arch": spelling,
            }
        )
    return pd.DataFrame(rows)


def summary(outcome: Outcome) -> dict[str, Any]:
    """The numbers of an outcome, for compare.json."""
    return {
        "noise_std": {f"{ratio:g}": value for ratio, value in outcome.deviations.items()},
        "differences": [
            {"rule": rule, "ratio": ratio, **asdict(found),
             "training_no_worse": asdict(outcome.chances[rule, ratio])}
            for (rule, ratio), found in outcome.differences.items()
        ],
        "mean_differences": {rule: asdict(found) for rule, found in outcome.means.items()},
        "same": [
            {"rule": rule, "ratio": ratio, "as": other}
            for (rule, ratio), other in outcome.same.items()
        ],
        "missing": [asdict(each) for each in outcome.missing],
        "accuracies": outcome.accuracies,
    }  # fmt: skip
