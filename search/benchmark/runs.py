"""Searches of a pool by a sampler, one per seed, in worker processes.

Every evaluation of every sampler is feasible and new: what a sampler proposes outside of the
pool, or again, is replaced by the nearest network that is left, and the sampler is told what was
evaluated (Lamarckian repair). So samplers differ in what they ask for alone.
"""

import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from threadpoolctl import threadpool_limits

from blocks.messages import say
from search.benchmark.config import BenchmarkConfig
from search.benchmark.problem import Problem
from search.evaluators.spawn import spawn_context
from search.record.trials import append_record, cut_torn_line, derive_seed, read_lines
from search.samplers import build_sampler


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


def run_all(config: BenchmarkConfig, problem: Problem, path: Path) -> list[Run]:
    """Every sampler with every seed; those that `path` holds are taken from it, others added."""
    cut_torn_line(path)
    runs = {run.key: run for run in read_lines(path, "run", _as_run)}
    wanted = [
        (name, replicate, config.length(name))
        for replicate in range(config.seeds)
        for name in config.samplers
    ]
    missing = [key for key in wanted if key not in runs]
    if len(missing) < len(wanted):
        say(f"going on with {len(wanted) - len(missing)} of {len(wanted)} runs")
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
                    say(f"run {number}/{len(missing)}  {spent:.0f} s")
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
