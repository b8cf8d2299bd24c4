"""Samplers × seeds on a table: who finds better networks with fewer evaluations."""

import gzip
import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from omegaconf import OmegaConf

from blocks.messages import say
from search.benchmark.config import BenchmarkConfig, validate_benchmark
from search.benchmark.fill import MetricFit, fill_table
from search.benchmark.problem import Problem, make_problem, regrets
from search.benchmark.runs import Run, run_all
from search.benchmark.summary import bands_of, curve_table, summarise
from search.benchmark.table import COSTS, Table, read_table
from search.errors import StudyError
from search.plot import plot_benchmark
from search.record.folder import StudyFolder, StudyLock, environment
from search.record.trials import derive_seed


@dataclass(frozen=True)
class Benchmark:
    """A finished benchmark: its settings, a row of `summary` per sampler, the files written."""

    config: BenchmarkConfig
    summary: pd.DataFrame
    files: tuple[Path, ...]


def benchmark(config: BenchmarkConfig) -> Benchmark:
    """Run what is missing, write runs.jsonl, curves.csv, summary.csv and benchmark.png.

    With `table.fill` it also writes table_filled.csv.gz, which the samplers then search in place
    of the table, and table_fit.csv, the cross-validated fit of its predictions.

    Raises:
        ConfigError, StudyError: see the messages; finished runs stay on disk.
    """
    validate_benchmark(config)
    assert config.table.path is not None
    table = read_table(config.table.path, config.table.adapter, config.table.num_classes)
    problem = make_problem(table, config, to_come=config.table.fill)
    folder = StudyFolder(config.results_dir, config.study)
    with StudyLock(folder):
        _open(folder, config)
        if config.table.fill:
            table = _filled(table, config, folder)
            problem = make_problem(table, config)
        say(_description(config, table, problem))
        runs = run_all(config, problem, folder / "runs.jsonl")
        summary = _write(config, problem, runs, folder)
    names = ("summary.csv", "curves.csv", "runs.jsonl", "benchmark.png")
    return Benchmark(config, summary, tuple(folder / name for name in names))


def _write(
    config: BenchmarkConfig, problem: Problem, runs: list[Run], folder: StudyFolder
) -> pd.DataFrame:
    """The curves, their summary and their plot, from the runs; returns the summary."""
    by_sampler = {name: [r for r in runs if r.sampler == name] for name in config.samplers}
    curves = {
        name: np.stack([regrets(problem, run.rows) for run in of_sampler])
        for name, of_sampler in by_sampler.items()
    }
    bands = bands_of(curves)
    folder.write("curves.csv", curve_table(curves, bands).to_csv(index=False))
    summary = summarise(curves, config.evaluations, config.longer)
    seconds = {
        name: 1000 * np.mean([run.ask_seconds / len(run.rows) for run in of_sampler])
        for name, of_sampler in by_sampler.items()
    }
    summary["ask_ms"] = [seconds[name] for name in summary["sampler"]]
    folder.write("summary.csv", summary.to_csv(index=False))
    title = f"{config.study}: {len(problem.pool)} networks, {config.seeds} seeds"
    folder.write("benchmark.png", plot_benchmark(curves, bands, config.axis, title))
    return summary


def _filled(table: Table, config: BenchmarkConfig, folder: StudyFolder) -> Table:
    """The table with predictions in it.

    It is always read from the file it is stored in, the first time too, so that a benchmark that
    goes on is of the same networks to the last digit.
    """
    path = folder / "table_filled.csv.gz"
    metric, (least, most) = config.budget.metric, config.limits
    if not path.exists():
        frame, fits = fill_table(
            table,
            list(dict.fromkeys([*config.columns, *config.table.features, metric])),
            config.table.fill,
            lambda frame: frame[metric].between(least, most).to_numpy(),
            config.table.num_classes,
            derive_seed(config.seed, "fill"),
        )
        columns = [one.name for one in fields(MetricFit)]
        rows = pd.DataFrame([asdict(fit) for fit in fits], columns=columns)
        folder.write("table_fit.csv", rows.to_csv(index=False))
        content = frame.drop(columns=list(COSTS)).to_csv(index_label="arch").encode()
        folder.write(path.name, gzip.compress(content, mtime=0))
    for fit in pd.read_csv(folder / "table_fit.csv").to_dict("records"):
        say(
            f"{fit['metric']}: predicted by {fit['model']} for all networks; held out "
            f"({fit['folds']} folds of {fit['records']} networks) R² {fit['r2']:.4f}, Kendall's τ "
            f"{fit['kendall_tau']:.4f}, RMSE {fit['rmse']:.4g}, the noise that predictions lack"
        )
    return read_table(str(path), num_classes=config.table.num_classes)


def _open(folder: StudyFolder, config: BenchmarkConfig) -> None:
    """Create the folder, or accept it if its runs are of the same problem."""
    path = folder / "benchmark.yaml"
    free = ("results_dir", "samplers", "seeds", "evaluations", "longer", "workers", "study")
    mine = {name: value for name, value in asdict(config).items() if name not in free}
    if path.exists():
        stored: Any = OmegaConf.to_container(OmegaConf.load(path))
        changed = [name for name, value in mine.items() if stored.get(name) != value]
        if changed:
            raise StudyError(
                f"{folder.path} is of another benchmark ({', '.join(changed)} differ); give this "
                "one another name with study=…"
            )
    folder.write("benchmark.yaml", OmegaConf.to_yaml(OmegaConf.create(asdict(config))))
    folder.write("environment.json", json.dumps(environment(), indent=2) + "\n")


def _description(config: BenchmarkConfig, table: Table, problem: Problem) -> str:
    budget = config.budget
    limits = [f"{name} {value}" for name, value in (("min", budget.min), ("max", budget.max))
              if value is not None]  # fmt: skip
    fill = f" ({config.table.fill} of them filled in)" if config.table.fill else ""
    return (
        f"{config.table.path}: {len(table.archs)} networks{fill}, {len(table.choices)} parameters "
        "vary; "
        f"{len(problem.pool)} feasible ({budget.metric} {', '.join(limits) or 'any'}); "
        f"objectives {', '.join(config.objectives)}"
    )
