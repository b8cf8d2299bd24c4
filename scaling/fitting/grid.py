"""The coefficients, by the paper's way: a small grid at φ = 1, trained and compared."""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from blocks.arch import ArchSpec, format_arch
from blocks.cost import count
from scaling.compound import ScalingCoefficients, ScalingError, scale_compound
from scaling.config import GridConfig, ScalingConfig
from scaling.fitting.grid_judgement import (
    Candidate,
    Judgement,
    count_tied,
    grid_table,
    judge_grid,
)
from scaling.fitting.record import RUNS
from scaling.fitting.result import Fit
from scaling.listener import SILENT, Listener
from scaling.trainings import run_trainings
from search.config.quality import ACCURACY, Quality
from search.data.classes import worth
from search.errors import StudyError
from search.evaluators.train import make_job
from search.record.trials import TrialRecord, derive_seed
from search.study.study import OpenStudy


@dataclass(frozen=True)
class GridPlan:
    """What the grid will train: so many coefficients make so many different networks."""

    study: str
    coefficients: int
    trainings: int
    epochs: int
    quality: Quality = ACCURACY


@dataclass(frozen=True, kw_only=True)
class GridFit(Fit):
    """What a grid found. `tied` of the `networks` are within the sampling error of the best;
    `macs` and `reached`, its `quality` on the validation images, are the best one's."""

    method: ClassVar[str] = "grid"
    where: ClassVar[str] = "among the points of the grid"

    settings: GridConfig
    epochs: int
    points: int
    failed: int
    tied: int
    val_images: int
    reached: float
    macs: int
    macs_ratio: float
    judgement: Judgement

    def to_mapping(self) -> dict[str, Any]:
        """What fit.json says of it beside the coefficients."""
        grid = self.settings
        return {
            "nominal_cost": round(self.coefficients.nominal_cost, 6),
            "macs_ratio": round(self.macs_ratio, 4),
            self.quality.val: self.reached,
            "points": self.points,
            "networks": self.networks,
            "networks_not_distinguishable": self.tied,
            "epochs": self.epochs,
            "grid": {
                "step": grid.step,
                "tolerance": grid.tolerance,
                "cost": grid.cost,
                "constraint": grid.constraint,
            },
            "intervals": {name: list(pair) for name, pair in self.intervals.items()},
            "region": {"share": self.alike, "triples": self.judgement.triples},
            "versus": {
                name: {
                    "point": list(each.point),
                    "macs_ratio": each.macs_ratio,
                    "difference": each.difference,
                    "interval": list(each.interval),
                    "probability": each.probability,
                    "indistinguishable": each.indistinguishable,
                }
                for name, each in self.judgement.versus.items()
            },
        }


def grid_candidates(
    baseline: ArchSpec, grid: GridConfig, rounding: str = "paper", num_classes: int = 1000
) -> list[Candidate]:
    """All (α, β, γ) ≥ 1 on the grid with |α·β²·γ² − cost| ≤ tolerance, scaled at φ = 1.

    With `grid.constraint=counted` it is the macs of the scaled network over those of the baseline
    that are `cost` ± `tolerance`, as rounding makes of a nominal 2 anything from 1.9 to 3.3.

    Raises:
        ScalingError: no point meets the constraint.
    """
    counted = grid.constraint == "counted"
    base = count(baseline, num_classes).macs
    # Rounding down may leave a multiplier without effect: somewhat more is looked at.
    most = (grid.cost + grid.tolerance) * (1.5 if counted else 1.0)
    steps = range(math.floor((most - 1) / grid.step + 1e-9) + 1)
    axis = [round(1 + number * grid.step, 10) for number in steps]
    found = []
    for alpha in axis:
        for beta in axis:
            if alpha * beta**2 > most + 1e-9:
                break
            for gamma in axis:
                coefficients = ScalingCoefficients(alpha, beta, gamma)
                nominal = coefficients.nominal_cost
                if nominal > most + 1e-9:
                    break
                # 1e-9: 1.2·1.1²·1.15² is 1.92027 on paper, and a point on the rim belongs.
                if abs(nominal - grid.cost) <= grid.tolerance + 1e-9 or (
                    counted and nominal <= most
                ):
                    arch = scale_compound(baseline, coefficients, 1, rounding)
                    ratio = count(arch, num_classes).macs / base if counted else nominal
                    if abs(ratio - grid.cost) <= grid.tolerance + 1e-9:
                        found.append(Candidate(coefficients, arch))
    if not found:
        cost = "macs / B0's" if counted else "αβ²γ²"
        raise ScalingError(
            f"no point of grid.step={grid.step:g} has |{cost} − {grid.cost:g}| ≤ "
            f"grid.tolerance={grid.tolerance:g}; expected a smaller step or a larger tolerance"
        )
    return found


def fit_grid(
    study: OpenStudy, config: ScalingConfig, rounding: str, listener: Listener[GridPlan] = SILENT
) -> GridFit:
    """Train the grid by the study's own proxy; write scaling/grid.csv.

    Returns the most accurate point's coefficients, and what can be told of them; accuracy is what
    the study is judged by.

    Raises:
        ScalingError, StudyError: see the messages; trained points stay on disk.
    """
    grid, baseline = config.grid, study.baseline
    candidates = grid_candidates(baseline.arch, grid, rounding, baseline.num_classes)
    epochs = grid.epochs or study.config.proxy.epochs
    started = time.perf_counter()
    records, failed = _train(study, candidates, epochs, listener)
    seconds = {"train the grid": time.perf_counter() - started}
    quality = study.config.quality
    table = grid_table(
        candidates, records, baseline.arch, baseline.num_classes, grid.cost, rounding, quality
    )
    study.folder.write("scaling/grid.csv", table.to_csv(index=False))
    images = worth(quality, study.data.val)
    judgement = judge_grid(table, images, derive_seed(study.config.seed, "grid"), quality)
    winner = table.iloc[0]
    return GridFit(
        study=study.folder.study,
        folder=study.folder.path,
        coefficients=ScalingCoefficients(
            *(float(winner[name]) for name in ("alpha", "beta", "gamma"))
        ),
        intervals=judgement.intervals,
        versus=judgement.versus,
        alike=judgement.alike,
        rounding=rounding,
        quality=quality,
        baseline=baseline.arch,
        trained=float(table["macs_ratio"].max()),
        seconds=seconds,
        settings=grid,
        epochs=epochs,
        points=len(candidates),
        networks=len(records),
        failed=failed,
        tied=count_tied(table, images, quality),
        val_images=images,
        reached=float(winner[quality.val]),
        macs=int(winner["macs"]),
        macs_ratio=float(winner["macs_ratio"]),
        judgement=judgement,
    )


def _train(
    study: OpenStudy, candidates: Sequence[Candidate], epochs: int, listener: Listener[GridPlan]
) -> tuple[list[TrialRecord], int]:
    """The records of the different networks, and how many failed."""
    # Rounding makes one network of many points: each is trained once.
    spellings = list(dict.fromkeys(format_arch(candidate.arch) for candidate in candidates))
    jobs = [(make_job(spelling, epochs, study.config.seed), 1.0) for spelling in spellings]
    quality = study.config.quality
    plan = GridPlan(study.folder.study, len(candidates), len(jobs), epochs, quality)
    with listener.begin(plan) as progress:
        outcomes = run_trainings(study, jobs, study.folder / RUNS, progress)
    records = [record for record in outcomes if isinstance(record, TrialRecord)]
    if not records:
        raise StudyError(f"all {len(outcomes)} trainings of the grid failed")
    return records, len(outcomes) - len(records)
