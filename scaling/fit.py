"""The coefficients, by the paper's way: a small grid at φ = 1, trained and compared."""

import math
import time
from dataclasses import dataclass

import pandas as pd
import yaml

from blocks.arch import ArchSpec, format_arch
from blocks.console import console, millions
from blocks.cost import count
from blocks.errors import one_line
from scaling.compound import PAPER, ScalingCoefficients, ScalingError, scale_compound
from scaling.config import GridConfig, ScalingConfig
from search.batch import run_jobs
from search.data import load_data
from search.errors import StudyError
from search.evaluators.train import TrainEvaluator, make_job
from search.progress import TrialProgress, time_table
from search.record import Record, StudyFolder, StudyLock, TrialRecord
from search.run import check_data, read_baseline


@dataclass(frozen=True)
class Candidate:
    """A point of the grid and the network that it makes of the baseline."""

    coefficients: ScalingCoefficients
    arch: ArchSpec


def grid_candidates(
    baseline: ArchSpec, grid: GridConfig, rounding: str = "paper"
) -> list[Candidate]:
    """All (α, β, γ) ≥ 1 on the grid with |α·β²·γ² − cost| ≤ tolerance, scaled at φ = 1.

    Raises:
        ScalingError: no point meets the constraint.
    """
    most = grid.cost + grid.tolerance
    steps = range(math.floor((most - 1) / grid.step + 1e-9) + 1)
    axis = [round(1 + number * grid.step, 10) for number in steps]
    found = []
    for alpha in axis:
        for beta in axis:
            for gamma in axis:
                coefficients = ScalingCoefficients(alpha, beta, gamma)
                # 1e-9: 1.2·1.1²·1.15² is 1.92027 on paper, and a point on the rim belongs.
                if abs(coefficients.nominal_cost - grid.cost) <= grid.tolerance + 1e-9:
                    arch = scale_compound(baseline, coefficients, 1, rounding)
                    found.append(Candidate(coefficients, arch))
    if not found:
        raise ScalingError(
            f"no point of grid.step={grid.step:g} has |αβ²γ² − {grid.cost:g}| ≤ "
            f"grid.tolerance={grid.tolerance:g}; expected a smaller step or a larger tolerance"
        )
    return found


def fit(config: ScalingConfig) -> ScalingCoefficients:
    """Train the grid by the study's own proxy; write scaling_grid.csv and coefficients.yaml.

    Raises:
        ScalingError, StudyError: see the messages; trained points stay on disk.
    """
    if config.baseline is not None or config.coefficients != "fitted":
        raise ScalingError(
            "scaling fit fits the B0 of a study; baseline=… and coefficients=… belong to "
            "scaling emit"
        )
    started = time.perf_counter()
    folder = StudyFolder(config.results_dir, config.study or "main").require()
    run_config = folder.read_config()
    baseline = read_baseline(folder)
    rounding = config.rounding or baseline.rounding
    candidates = grid_candidates(baseline.arch, config.grid, rounding)
    data = load_data(run_config.dataset, run_config.proxy.resolution)
    if data.num_classes != baseline.num_classes:
        raise StudyError(
            f"{folder / 'b0.yaml'} has {baseline.num_classes} classes, the data {data.num_classes}"
        )
    epochs = config.grid.epochs or run_config.proxy.epochs
    # Rounding makes one network of many points: each is trained once.
    spellings = list(dict.fromkeys(format_arch(candidate.arch) for candidate in candidates))
    work = [
        (make_job(spelling, epochs, run_config.seed), folder / "scaling_grid.jsonl")
        for spelling in spellings
    ]
    console.print(
        f"scaling grid: {len(candidates)} coefficients make {len(spellings)} different networks "
        f"of {folder.study}'s B0, each trained for {epochs} epochs"
    )
    with StudyLock(folder):
        check_data(folder, data)
        seconds = {"read the data": time.perf_counter() - started}
        started = time.perf_counter()
        with (
            TrainEvaluator(data, run_config.training, run_config.workers) as evaluator,
            TrialProgress("grid", len(spellings)) as progress,
        ):
            finished = 0

            def done(record: Record) -> None:
                nonlocal finished
                finished += 1
                progress.trial(record, finished)

            outcomes = run_jobs(evaluator, work, done)
        records = [record for record in outcomes if isinstance(record, TrialRecord)]
        if not records:
            raise StudyError(f"all {len(outcomes)} trainings of the grid failed")
        if len(records) < len(outcomes):
            console.print(f"{len(outcomes) - len(records)} networks failed and are left out")
        seconds["train the grid"] = time.perf_counter() - started
        table = _table(
            candidates, records, baseline.arch, data.num_classes, config.grid.cost, rounding
        )
        winner = table.iloc[0]
        coefficients = ScalingCoefficients(
            float(winner["alpha"]), float(winner["beta"]), float(winner["gamma"])
        )
        tied = _tied(table, len(data.val))
        folder.write("scaling_grid.csv", table.to_csv(index=False))
        content = {
            "alpha": coefficients.alpha,
            "beta": coefficients.beta,
            "gamma": coefficients.gamma,
            "method": "grid",
            "nominal_cost": round(coefficients.nominal_cost, 6),
            "macs_ratio": round(float(winner["macs_ratio"]), 4),
            "val_accuracy": float(winner["val_accuracy"]),
            "points": len(candidates),
            "networks": len(records),
            "networks_not_distinguishable": tied,
            "epochs": epochs,
            "rounding": rounding,
            "grid": {
                "step": config.grid.step,
                "tolerance": config.grid.tolerance,
                "cost": config.grid.cost,
            },
            "baseline": format_arch(baseline.arch),
        }
        folder.write("coefficients.yaml", yaml.safe_dump(content, sort_keys=False, width=10_000))
    console.print(
        f"fitted α={coefficients.alpha:g} (depth), β={coefficients.beta:g} (width), "
        f"γ={coefficients.gamma:g} (resolution); the paper's are {PAPER.alpha:g}, {PAPER.beta:g}, "
        f"{PAPER.gamma:g}"
    )
    console.print(
        f"  val accuracy {winner['val_accuracy']:.4f} at macs {millions(int(winner['macs']))}: "
        f"{winner['macs_ratio']:.2f}× B0's, nominally {coefficients.nominal_cost:.2f}× (channels "
        "and repeats round)"
    )
    console.print(
        f"  {tied} of {len(records)} networks are within the sampling error of "
        f"{len(data.val)} validation images of the best (95%, one seed each)"
    )
    console.print(time_table("Where the time went (scaling fit)", seconds))
    return coefficients


def read_coefficients(folder: StudyFolder, baseline: ArchSpec) -> ScalingCoefficients:
    """The fitted coefficients of a study.

    Raises:
        StudyError: not fitted yet, fitted for another B0, or a damaged file.
    """
    path = folder / "coefficients.yaml"
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        coefficients = ScalingCoefficients(content["alpha"], content["beta"], content["gamma"])
        fitted_for = content["baseline"]
    except FileNotFoundError:
        raise StudyError(
            f"{folder.path} has no coefficients.yaml; fit them first: "
            f"python -m scaling fit study={folder.study}"
        ) from None
    except (yaml.YAMLError, KeyError, TypeError, UnicodeDecodeError) as error:
        raise StudyError(f"{path} is damaged: {one_line(error)}") from None
    if fitted_for != format_arch(baseline):
        raise StudyError(
            f"{path} was fitted for another B0; fit again: "
            f"python -m scaling fit study={folder.study}"
        )
    return coefficients


def _table(
    candidates: list[Candidate],
    records: list[TrialRecord],
    baseline: ArchSpec,
    num_classes: int,
    nominal_cost: float,
    rounding: str = "paper",
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
        ["val_accuracy", "macs", "_miss", "alpha"],
        ascending=[False, True, True, True],
        ignore_index=True,
    )
    return table.drop(columns="_miss")


def _tied(table: pd.DataFrame, val_images: int) -> int:
    """Networks whose accuracy is within 1.96 standard errors of the difference to the best."""
    best = float(table["val_accuracy"].max())
    error = math.sqrt(2 * best * (1 - best) / val_images)
    near = table[table["val_accuracy"] >= best - 1.96 * error]
    return int(near["arch"].nunique())
