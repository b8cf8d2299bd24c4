"""The coefficients, by the paper's way: a small grid at φ = 1, trained and compared."""

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd

from blocks.arch import ArchSpec, format_arch
from blocks.console import console, millions
from blocks.cost import count
from scaling.compound import ScalingCoefficients, ScalingError, scale_compound
from scaling.config import GridConfig
from scaling.rules import RIVALS, direction
from scaling.setting import Setting, run_trainings
from search.errors import StudyError
from search.evaluators.train import make_job
from search.record.trials import TrialRecord, derive_seed

RESAMPLES: Final = 2000


@dataclass(frozen=True)
class Candidate:
    """A point of the grid and the network that it makes of the baseline."""

    coefficients: ScalingCoefficients
    arch: ArchSpec


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


def fit_grid(setting: Setting) -> tuple[ScalingCoefficients, dict[str, Any]]:
    """Train the grid by the study's own proxy; write scaling/grid.csv.

    Returns the most accurate point's coefficients, and what fit.json says of them. One training a
    point tells no noise of seeds: intervals and probabilities are of accuracies drawn anew with
    the sampling error of the validation images.

    Raises:
        ScalingError, StudyError: see the messages; trained points stay on disk.
    """
    grid, baseline = setting.config.grid, setting.baseline
    candidates = grid_candidates(baseline.arch, grid, setting.rounding, baseline.num_classes)
    epochs = grid.epochs or setting.run.proxy.epochs
    # Rounding makes one network of many points: each is trained once.
    spellings = list(dict.fromkeys(format_arch(candidate.arch) for candidate in candidates))
    jobs = [(make_job(spelling, epochs, setting.run.seed), 1.0) for spelling in spellings]
    console.print(
        f"scaling grid: {len(candidates)} coefficients make {len(spellings)} different networks "
        f"of {setting.folder.study}'s B0, each trained for {epochs} epochs"
    )
    outcomes = run_trainings(setting, jobs, "grid")
    records = [record for record in outcomes if record is not None]
    if not records:
        raise StudyError(f"all {len(outcomes)} trainings of the grid failed")
    if len(records) < len(outcomes):
        console.print(f"{len(outcomes) - len(records)} networks failed and are left out")
    table = _table(
        candidates, records, baseline.arch, baseline.num_classes, grid.cost, setting.rounding
    )
    winner = table.iloc[0]
    coefficients = ScalingCoefficients(
        float(winner["alpha"]), float(winner["beta"]), float(winner["gamma"])
    )
    images = len(setting.data.val)
    tied = _tied(table, images)
    setting.folder.write("scaling/grid.csv", table.to_csv(index=False))
    content = {
        "nominal_cost": round(coefficients.nominal_cost, 6),
        "macs_ratio": round(float(winner["macs_ratio"]), 4),
        "val_accuracy": float(winner["val_accuracy"]),
        "points": len(candidates),
        "networks": len(records),
        "networks_not_distinguishable": tied,
        "epochs": epochs,
        "grid": {
            "step": grid.step,
            "tolerance": grid.tolerance,
            "cost": grid.cost,
            "constraint": grid.constraint,
        },
    }
    content |= judge_grid(table, images, derive_seed(setting.run.seed, "grid"))
    console.print(
        f"  val accuracy {winner['val_accuracy']:.4f} at macs {millions(int(winner['macs']))}: "
        f"{winner['macs_ratio']:.2f}× B0's, nominally {coefficients.nominal_cost:.2f}× (channels "
        "and repeats round)"
    )
    console.print(
        f"  {tied} of {len(records)} networks are within the sampling error of "
        f"{images} validation images of the best (95%, one seed each)"
    )
    return coefficients, content


def judge_grid(table: pd.DataFrame, images: int, seed: int) -> dict[str, Any]:
    """How surely the first row of a grid's table is the best: intervals, and each rule's chance.

    A rule is stood for by the point of the grid nearest to its direction in logs; points differ
    in cost, and `macs_ratio` says by how much.
    """
    networks = table.drop_duplicates("arch").index.to_numpy()
    accuracy = table["val_accuracy"].to_numpy(dtype=float)
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
        chance = float(np.mean(differences > 0) + np.mean(differences == 0) / 2)
        versus[name] = {
            "point": triples[row].tolist(),
            "macs_ratio": float(table["macs_ratio"].iloc[row]),
            "difference": float(accuracy[0] - accuracy[row]),
            "interval": [float(below), float(over)],
            "probability": chance,
            "indistinguishable": bool(above[row]),
        }
    return {
        "intervals": {
            name: [float(low[n]), float(high[n])]
            for n, name in enumerate(("alpha", "beta", "gamma"))
        },
        "region": {"share": float(np.mean(above)), "triples": triples[above].tolist()},
        "versus": versus,
    }


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
