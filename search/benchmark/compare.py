"""Samplers × seeds on a table: who finds better networks with fewer evaluations.

Every evaluation of every sampler is feasible and new: what a sampler proposes outside of the
pool, or again, is replaced by the nearest network that is left, and the sampler is told what was
evaluated (Lamarckian repair). So samplers differ in what they ask for alone.
"""

import gzip
import json
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, field, fields
from functools import partial
from typing import Any, Final

import numpy as np
import optuna
import pandas as pd
from numpy.typing import NDArray
from omegaconf import OmegaConf
from rich.table import Table as Screen
from scipy.stats import bootstrap, wilcoxon
from threadpoolctl import threadpool_limits

from blocks.console import console
from search.benchmark.fill import MetricFit, fill_table
from search.benchmark.table import COSTS, Pool, Table, feasible_rows, read_table
from search.config.checks import check_at_least, validate_study_name
from search.config.quantities import parse_quantity
from search.errors import ConfigError, StudyError, choose
from search.evaluators.spawn import spawn_context
from search.pareto import hypervolume
from search.plot import plot_benchmark
from search.record.folder import StudyFolder, StudyLock, environment
from search.record.trials import append_record, cut_torn_line, derive_seed, read_lines
from search.samplers import SAMPLERS, build_sampler

EVALUATORS: Final = ("table",)
CONTROL: Final = "random"
OURS: Final = "surrogate"
RESAMPLES: Final = 2000
Bands = dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]]
LABELS: Final = {"area": "mean regret (area)", "ask_ms": "overhead per evaluation, ms"}


@dataclass
class TableConfig:
    """A benchmark file, how to read it, and how many predicted networks to add to it."""

    path: str | None = None
    adapter: str = "spelling"
    num_classes: int = 1000
    features: list[str] = field(default_factory=list)
    fill: int = 0


@dataclass
class TableBudgetConfig:
    """Which networks of the table may be chosen."""

    metric: str = "macs"
    min: Any = None
    max: Any = None


@dataclass
class BenchmarkConfig:
    """All settings of `python -m search benchmark`."""

    study: str = "benchmark"
    results_dir: str = "results"
    seed: int = 0
    evaluator: str = "table"
    table: TableConfig = field(default_factory=TableConfig)
    objectives: list[str] = field(default_factory=lambda: ["val_accuracy"])
    budget: TableBudgetConfig = field(default_factory=TableBudgetConfig)
    samplers: list[str] = field(
        default_factory=lambda: [OURS, "tpe", "gp", "nsga2", "evolution", CONTROL]
    )
    seeds: int = 20
    evaluations: int = 100
    longer: dict[str, int] = field(default_factory=lambda: {"tpe": 200, CONTROL: 1000})
    workers: int = 2


@dataclass(frozen=True)
class Problem:
    """A pool and what is wanted of it: `values` (pool, objectives), all to be maximised."""

    pool: Pool
    values: NDArray[np.float64]


@dataclass(frozen=True)
class Run:
    """One sampler's search with one seed: the table's rows in the order of their evaluation."""

    sampler: str
    replicate: int
    rows: tuple[int, ...]
    ask_seconds: float

    @property
    def key(self) -> tuple[str, int, int]:
        """What identifies a run of a benchmark."""
        return self.sampler, self.replicate, len(self.rows)


def benchmark(config: BenchmarkConfig) -> pd.DataFrame:
    """Run what is missing, write runs.jsonl, curves.csv, summary.csv and benchmark.png.

    With `table.fill`, also table_filled.csv.gz, which the samplers then search in place of the
    table, and table_fit.csv, the cross-validated fit of its predictions. Returns the summary: a
    row per sampler.

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
        _describe(config, table, problem)
        runs = _run_all(config, problem, folder)
        by_sampler = {name: [r for r in runs if r.sampler == name] for name in config.samplers}
        curves = {
            name: np.stack([regrets(problem, run.rows) for run in of_sampler])
            for name, of_sampler in by_sampler.items()
        }
        bands = _bands(curves)
        folder.write("curves.csv", _curve_table(curves, bands).to_csv(index=False))
        summary = summarise(curves, config.evaluations, config.longer)
        seconds = {
            name: 1000 * np.mean([run.ask_seconds / len(run.rows) for run in of_sampler])
            for name, of_sampler in by_sampler.items()
        }
        summary["ask_ms"] = [seconds[name] for name in summary["sampler"]]
        folder.write("summary.csv", summary.to_csv(index=False))
        title = f"{config.study}: {len(problem.pool)} networks, {config.seeds} seeds"
        folder.write("benchmark.png", plot_benchmark(curves, bands, _axis(config), title))
    _report(config, summary)
    console.print(f"wrote {folder / 'summary.csv'}, curves.csv, runs.jsonl, benchmark.png")
    return summary


def validate_benchmark(config: BenchmarkConfig) -> None:
    """Check what types cannot say.

    Raises:
        ConfigError: names the setting, its value, and what was expected.
    """
    choose("evaluator", config.evaluator, EVALUATORS)
    validate_study_name(config.study)
    if config.table.path is None:
        raise ConfigError("table.path is missing; give the benchmark's file as table.path=…")
    if not config.samplers:
        raise ConfigError("samplers is empty; expected one or more")
    for name in [*config.samplers, *config.longer]:
        choose("samplers", name, SAMPLERS)
    if len(set(config.samplers)) < len(config.samplers):
        raise ConfigError(f"samplers={config.samplers} holds one twice")
    check_at_least(
        {
            "seeds": (config.seeds, 2),
            "evaluations": (config.evaluations, 2),
            "workers": (config.workers, 1),
            "table.num_classes": (config.table.num_classes, 1),
            "table.fill": (config.table.fill, 0),
            **{f"longer.{name}": (number, 2) for name, number in config.longer.items()},
        }
    )
    if len(config.objectives) not in (1, 2):
        raise ConfigError(
            f"objectives={config.objectives} are {len(config.objectives)}; expected one or two"
        )


def make_problem(table: Table, config: BenchmarkConfig, to_come: int = 0) -> Problem:
    """The feasible rows of a table and their objectives; `to_come` more are still to be added.

    Raises:
        ConfigError: a column is missing, or the budget leaves too few networks.
    """
    names = _objective_names(config)
    signs = [-1.0 if name.startswith("-") else 1.0 for name in config.objectives]
    rows = feasible_rows(
        table, [*names, *config.table.features], config.budget.metric, *_limits(config)
    )
    values = np.stack(
        [sign * table.column(name)[rows] for name, sign in zip(names, signs, strict=True)], 1
    )
    longest = max(config.longer.get(name, config.evaluations) for name in config.samplers)
    if longest > len(rows) + to_come:
        raise ConfigError(
            f"{longest} evaluations are more than the {len(rows) + to_come} feasible networks of "
            "the table"
        )
    return Problem(Pool(table, rows, config.table.features), values)


def _objective_names(config: BenchmarkConfig) -> list[str]:
    return [name.removeprefix("-") for name in config.objectives]


def _limits(config: BenchmarkConfig) -> tuple[float, float]:
    """The least and the most that the budget allows."""
    budget = config.budget
    least = 0.0 if budget.min is None else float(parse_quantity("budget.min", budget.min))
    most = np.inf if budget.max is None else float(parse_quantity("budget.max", budget.max))
    return least, most


def _filled(table: Table, config: BenchmarkConfig, folder: StudyFolder) -> Table:
    """The table with predictions in it. It is stored, and read from there the first time as any
    other, so that a benchmark that goes on is of the same networks to the last digit."""
    path = folder / "table_filled.csv.gz"
    metric, (least, most) = config.budget.metric, _limits(config)
    if not path.exists():
        frame, fits = fill_table(
            table,
            list(dict.fromkeys([*_objective_names(config), *config.table.features, metric])),
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
        console.print(
            f"{fit['metric']}: predicted by {fit['model']} for all networks; held out "
            f"({fit['folds']} folds of {fit['records']} networks) R² {fit['r2']:.4f}, Kendall's τ "
            f"{fit['kendall_tau']:.4f}, RMSE {fit['rmse']:.4g}, the noise that predictions lack",
            markup=False,
        )
    return read_table(str(path), num_classes=config.table.num_classes)


def search_pool(problem: Problem, sampler: str, seed: int, evaluations: int) -> Iterator[int]:
    """Positions in the pool as `sampler` has them evaluated, one after the other."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    pool = problem.pool
    study = optuna.create_study(
        sampler=build_sampler(sampler, seed % 2**32, pool),
        directions=["maximize"] * problem.values.shape[1],
    )
    free = np.ones(len(pool), dtype=bool)
    for _ in range(evaluations):
        trial = study.ask(dict(pool.distributions))
        code = pool.encode(trial.params)
        assert code is not None
        position = int(pool.positions(code[None])[0])
        if position < 0 or not free[position]:
            position = pool.nearest(code, free)
            repaired = pool.decode(pool.codes[position])
            for name, distribution in pool.distributions.items():
                # Optuna has no public way to correct what a running trial was given.
                study._storage.set_trial_param(
                    trial._trial_id,
                    name,
                    distribution.to_internal_repr(repaired[name]),
                    distribution,
                )
        free[position] = False
        study.tell(trial, list(problem.values[position]))
        yield position


def regrets(problem: Problem, rows: Sequence[int]) -> NDArray[np.float64]:
    """What is missing after each evaluation.

    One objective: the pool's best value less the best so far (simple regret), in its unit. Two:
    the share of the pool's hypervolume that the front so far lacks, both objectives scaled to
    the pool's range and the reference at its lower corner.
    """
    values = problem.values
    if values.shape[1] == 1:
        found = values[list(rows), 0]
        regret: NDArray[np.float64] = values[:, 0].max() - np.maximum.accumulate(found)
        return regret
    low, high = values.min(0), values.max(0)
    scaled = (values - low) / np.where(high > low, high - low, 1.0)
    whole = hypervolume(scaled[:, 0], -scaled[:, 1], 0.0, 0.0)
    lacking = np.empty(len(rows))
    volume, front = 0.0, np.zeros((0, 2))
    for number, row in enumerate(rows):
        point = scaled[row]
        if not (front >= point).all(1).any():
            front = np.concatenate([front[~(front <= point).all(1)], point[None]])
            volume = hypervolume(front[:, 0], -front[:, 1], 0.0, 0.0)
        lacking[number] = 1 - volume / whole
    return lacking


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


def _bands(curves: dict[str, NDArray[np.float64]]) -> Bands:
    """95% bootstrap bands of the mean curves, pointwise."""
    bands = {}
    for name, curve in curves.items():
        generator = np.random.default_rng(0)
        chosen = generator.integers(len(curve), size=(RESAMPLES // 4, len(curve)))
        means = np.stack([curve[pick].mean(0) for pick in chosen])
        low, high = np.quantile(means, [0.025, 0.975], axis=0)
        bands[name] = (low, high)
    return bands


def _curve_table(curves: dict[str, NDArray[np.float64]], bands: Bands) -> pd.DataFrame:
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


def _run_all(config: BenchmarkConfig, problem: Problem, folder: StudyFolder) -> list[Run]:
    path = folder / "runs.jsonl"
    cut_torn_line(path)
    runs = {run.key: run for run in read_lines(path, "run", _as_run)}
    wanted = [
        (name, replicate, config.longer.get(name, config.evaluations))
        for replicate in range(config.seeds)
        for name in config.samplers
    ]
    missing = [key for key in wanted if key not in runs]
    if len(missing) < len(wanted):
        console.print(f"going on with {len(wanted) - len(missing)} of {len(wanted)} runs")
    started = time.monotonic()
    with ProcessPoolExecutor(
        config.workers,
        mp_context=spawn_context(),
        initializer=_start_worker,
        initargs=(problem, config.seed),
    ) as executor:
        futures = [executor.submit(_run, *key) for key in missing]
        try:
            for number, future in enumerate(as_completed(futures), 1):
                run = future.result()
                runs[run.key] = run
                append_record(path, run)
                if number % max(1, len(missing) // 20) == 0 or number == len(missing):
                    spent = time.monotonic() - started
                    console.print(f"run {number}/{len(missing)}  {spent:.0f} s")
        except BaseException:
            executor.shutdown(wait=False, cancel_futures=True)
            raise
    return [runs[key] for key in wanted]


_worker: tuple[Problem, int] | None = None


def _start_worker(problem: Problem, seed: int) -> None:
    global _worker
    import torch  # GPSampler's own; one thread for each worker

    torch.set_num_threads(1)
    threadpool_limits(1)
    _worker = problem, seed


def _run(sampler: str, replicate: int, evaluations: int) -> Run:
    assert _worker is not None
    problem, seed = _worker
    started = time.perf_counter()
    own = derive_seed(seed, "benchmark", sampler, replicate)
    rows = tuple(search_pool(problem, sampler, own, evaluations))
    return Run(sampler, replicate, rows, time.perf_counter() - started)


def _as_run(fields: dict[str, Any]) -> Run:
    return Run(**{**fields, "rows": tuple(fields["rows"])})


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


def _axis(config: BenchmarkConfig) -> str:
    if len(config.objectives) == 2:
        return f"hypervolume lacking ({', '.join(config.objectives)})"
    return f"simple regret of {config.objectives[0]}"


def _describe(config: BenchmarkConfig, table: Table, problem: Problem) -> None:
    budget = config.budget
    limits = [f"{name} {value}" for name, value in (("min", budget.min), ("max", budget.max))
              if value is not None]  # fmt: skip
    fill = f" ({config.table.fill} of them filled in)" if config.table.fill else ""
    console.print(
        f"{config.table.path}: {len(table.archs)} networks{fill}, {len(table.choices)} parameters "
        "vary; "
        f"{len(problem.pool)} feasible ({budget.metric} {', '.join(limits) or 'any'}); "
        f"objectives {', '.join(config.objectives)}",
        markup=False,
    )


def _report(config: BenchmarkConfig, summary: pd.DataFrame) -> None:
    screen = Screen(
        title=f"{_axis(config)} over {config.evaluations} evaluations, {config.seeds} seeds",
        title_justify="left",
    )
    # A column per sampler: there are more measures than samplers.
    screen.add_column("", overflow="fold")
    for name in summary["sampler"]:
        screen.add_column(name, justify="right", overflow="fold")
    cell = partial(_cell, single=len(config.objectives) == 1)
    rows = summary.to_dict("records")
    for name in summary.columns.drop(["sampler", "area_low", "area_high"]):
        cells = [cell(name, row[name]) for row in rows]
        screen.add_row(LABELS.get(name, name.replace("_", " ")), *cells)
        if name == "area":
            limits = [(cell(name, row["area_low"]), cell(name, row["area_high"])) for row in rows]
            screen.add_row("  95% interval", *(f"{low}–{high}" for low, high in limits))
    console.print(screen)


def _cell(name: str, value: float, single: bool) -> str:
    if np.isnan(value):
        return "–"
    if name.startswith("p_"):
        return f"{value:.2g}"
    if name.startswith("reaches"):
        return f"{value:.0f}"
    if name == "ask_ms":
        return f"{value:.0f}"
    if name.startswith("area_over"):
        return f"{value:.2f}"
    return f"{value:.5f}" if single else f"{value:.4f}"
