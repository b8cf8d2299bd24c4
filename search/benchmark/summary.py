"""What the runs of a benchmark say: areas under regret curves, intervals, tests."""

from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import bootstrap, wilcoxon

from search.benchmark.config import CONTROL, OURS

RESAMPLES: Final = 2000
Bands = dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]]


def summarise(
    curves: dict[str, NDArray[np.float64]], evaluations: int, longer: dict[str, int]
) -> pd.DataFrame:
    """A row per sampler: areas under the regret curves, tests, evaluations to reach the others.

    `area` is the mean regret over the first `evaluations`, with the bootstrap interval of its
    mean over seeds; p-values are two-sided Wilcoxon signed-rank tests on areas paired by seed.
    `reaches_<sampler>@<n>` is the first evaluation at which the mean regret is not above that
    sampler's mean regret after n.
    """
    area = {name: curve[:, :evaluations].mean(1) for name, curve in curves.items()}
    rows = []
    for name, curve in curves.items():
        low, high = _interval(area[name])
        row: dict[str, Any] = {
            "sampler": name,
            "area": area[name].mean(),
            "area_low": low,
            "area_high": high,
        }
        for other in (CONTROL, OURS):
            if other in curves:
                row[f"area_over_{other}"] = (
                    area[name].mean() / area[other].mean() if area[other].mean() else np.nan
                )
                row[f"p_against_{other}"] = _paired_p(area[name], area[other])
        for number in sorted({20, 50, evaluations} & set(range(evaluations + 1))):
            row[f"regret@{number}"] = curve[:, number - 1].mean()
        for other, number in longer.items():
            if other in curves:
                goal = curves[other][:, number - 1].mean()
                reached = np.flatnonzero(curve.mean(0) <= goal + 1e-12)
                row[f"reaches_{other}@{number}"] = reached[0] + 1 if len(reached) else np.nan
        rows.append(row)
    return pd.DataFrame(rows)


def _paired_p(left: NDArray[np.float64], right: NDArray[np.float64]) -> float:
    differences = left - right
    if not differences.any():
        return float("nan")
    return float(wilcoxon(differences).pvalue)


def _interval(values: NDArray[np.float64]) -> tuple[float, float]:
    """95% bootstrap interval of the mean."""
    if np.ptp(values) == 0:
        return float(values[0]), float(values[0])
    found = bootstrap(
        (values,), np.mean, n_resamples=RESAMPLES, method="percentile",
        rng=np.random.default_rng(0),
    )  # fmt: skip
    return float(found.confidence_interval.low), float(found.confidence_interval.high)


def bands_of(curves: dict[str, NDArray[np.float64]]) -> Bands:
    """95% bootstrap bands of the mean curves, pointwise."""
    bands = {}
    for name, curve in curves.items():
        generator = np.random.default_rng(0)
        chosen = generator.integers(len(curve), size=(RESAMPLES // 4, len(curve)))
        means = np.stack([curve[pick].mean(0) for pick in chosen])
        low, high = np.quantile(means, [0.025, 0.975], axis=0)
        bands[name] = (low, high)
    return bands


def curve_table(curves: dict[str, NDArray[np.float64]], bands: Bands) -> pd.DataFrame:
    """A row per sampler and evaluation: the mean regret and its band."""
    return pd.concat(
        pd.DataFrame(
            {
                "sampler": name,
                "evaluations": np.arange(1, curve.shape[1] + 1),
                "regret_mean": curve.mean(0),
                "regret_low": bands[name][0],
                "regret_high": bands[name][1],
            }
        )
        for name, curve in curves.items()
    )
