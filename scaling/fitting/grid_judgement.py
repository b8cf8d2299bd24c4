"""How surely the best point of a grid is the best: one training a point tells no noise of seeds.

Intervals and probabilities are of accuracies drawn anew with the sampling error of the validation
images.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd

from blocks.arch import ArchSpec, format_arch
from blocks.cost import count
from scaling.compound import ScalingCoefficients
from scaling.fitting.optimum import Versus
from scaling.fitting.result import NAMES
from scaling.rules import RIVALS, direction
from search.config.quality import ACCURACY, Quality
from search.record.trials import TrialRecord

RESAMPLES: Final = 2000


@dataclass(frozen=True)
class Candidate:
    """A point of the grid and the network that it makes of the baseline."""

    coefficients: ScalingCoefficients
    arch: ArchSpec


@dataclass(frozen=True, kw_only=True)
class GridRival(Versus):
    """A rule, by the `point` of the grid nearest to its direction, which costs `macs_ratio`."""

    point: tuple[float, ...]
    macs_ratio: float


@dataclass(frozen=True)
class Judgement:
    """Intervals of the coefficients, each rule's chance, and what cannot be told from the best:
    the share of the points, and their triples."""

    intervals: dict[str, tuple[float, float]]
    versus: dict[str, GridRival]
    alike: float
    triples: list[list[float]]


def judge_grid(
    table: pd.DataFrame, images: int, seed: int, quality: Quality = ACCURACY
) -> Judgement:
    """How surely the first row of a grid's table is the best: intervals, and each rule's chance.

    `images` is how many the quality was measured on, or what they are worth (`worth`). A rule is
    stood for by the point of the grid nearest to its direction in logs; points differ in cost, and
    `macs_ratio` says by how much.
    """
    networks = table.drop_duplicates("arch").index.to_numpy()
    accuracy = table[quality.val].to_numpy(dtype=float)
    error = np.sqrt(np.maximum(accuracy * (1 - accuracy), 0.25 / images) / images)
    place = {arch: number for number, arch in enumerate(table["arch"].iloc[networks])}
    owner = table["arch"].map(place).to_numpy()
    noise = np.random.default_rng(seed).standard_normal((RESAMPLES, len(networks)))
    drawn = accuracy + error * noise[:, owner]
    triples = table[["alpha", "beta", "gamma"]].to_numpy(dtype=float)
    # The first of equals, as the table is sorted.
    winners = triples[drawn.argmax(1)]
    low, high = np.quantile(winners, [0.025, 0.975], axis=0)
    above = np.quantile(drawn - drawn[:, [0]], 0.975, axis=0) >= 0
    logs = np.log(triples) * np.array([1.0, 2.0, 2.0])
    logs /= np.maximum(np.linalg.norm(logs, axis=1, keepdims=True), 1e-12)
    versus = {}
    for name, rule in RIVALS.items():
        wanted = direction(rule) * np.array([1.0, 2.0, 2.0])
        row = int((logs @ (wanted / np.linalg.norm(wanted))).argmax())
        differences = drawn[:, 0] - drawn[:, row]
        below, over = np.quantile(differences, [0.025, 0.975])
        versus[name] = GridRival(
            difference=float(accuracy[0] - accuracy[row]),
            interval=(float(below), float(over)),
            probability=float(np.mean(differences > 0) + np.mean(differences == 0) / 2),
            point=tuple(triples[row].tolist()),
            macs_ratio=float(table["macs_ratio"].iloc[row]),
        )
    return Judgement(
        {name: (float(low[n]), float(high[n])) for n, name in enumerate(NAMES)},
        versus,
        float(np.mean(above)),
        triples[above].tolist(),
    )


def grid_table(
    candidates: Sequence[Candidate],
    records: Sequence[TrialRecord],
    baseline: ArchSpec,
    num_classes: int,
    nominal_cost: float,
    rounding: str = "paper",
    quality: Quality = ACCURACY,
) -> pd.DataFrame:
    by_arch = {record.arch: record for record in records}
    base_macs = count(baseline, num_classes).macs
    rows = []
    for candidate in candidates:
        coefficients = candidate.coefficients
        record = by_arch.get(format_arch(candidate.arch))
        if record is None:
            continue
        rows.append(
            {
                "alpha": coefficients.alpha,
                "beta": coefficients.beta,
                "gamma": coefficients.gamma,
                "nominal_cost": round(coefficients.nominal_cost, 6),
                "rounding": rounding,
                quality.val: quality.of(record.metrics),
                "val_accuracy": record.metrics["val_accuracy"],
                "val_loss": record.metrics["val_loss"],
                "macs": record.cost.macs,
                "macs_ratio": record.cost.macs / base_macs,
                "params": record.cost.params,
                "flops_fvcore": record.cost.flops_fvcore,
                "seed": record.seed,
                "arch": record.arch,
            }
        )
    table = pd.DataFrame(rows)
    # Equal accuracy: the cheaper; the same network: the point nearest to the nominal cost.
    table["_miss"] = (table["nominal_cost"] - nominal_cost).abs()
    table = table.sort_values(
        [quality.val, "macs", "_miss", "alpha"],
        ascending=[False, True, True, True],
        ignore_index=True,
    )
    return table.drop(columns="_miss")


def count_tied(table: pd.DataFrame, val_images: int, quality: Quality = ACCURACY) -> int:
    """Networks whose accuracy is within 1.96 standard errors of the difference to the best."""
    best = float(table[quality.val].max())
    error = math.sqrt(2 * best * (1 - best) / val_images)
    near = table[table[quality.val] >= best - 1.96 * error]
    return int(near["arch"].nunique())
