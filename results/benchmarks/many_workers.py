"""What the trial loop's own order costs with many workers, and where sampler and journal bend.

    python results/benchmarks/many_workers.py
    python results/benchmarks/many_workers.py --parts large --trials 100000 --minutes 60

The loop, the sampler, its journal on disk and the records are the real ones; trainings are
simulated (`simulated_workers.py`): 60 s in the mean, more for larger networks, times a lognormal
factor. `idle` is the share of the workers' time without a training, up to the last job. Parts:
`idle`, by the loop's order alone: equal machines, a straggler of 10 times, a node of 8 that dies,
with `workers.ahead` of 0 and more. `same`: that proposals do not depend on the workers' speeds.
`ask`: seconds an ask takes with 64 in flight, and the share of idle time where the loop's own time
is on the clock. `large`: 1,000 workers, as many trials as `--minutes` allow, and what a trial then
costs the loop.
"""

import argparse
import time
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from harness import check, check_finite, make_parser, parse, print_foot, results_folder, spread
from simulated_workers import CLASSES, Cluster, proposals, run_simulated, workers_of

from blocks.arch import ArchSpec, square
from blocks.cost import Cost
from search.config.face import config_from
from search.config.schema import RunConfig
from search.space.budget import cost_budget
from search.space.choices import build_space
from search.space.members import SpaceCandidates
from search.study import loop

PARTS = ("idle", "same", "ask", "large")


def config_of(results: Path, study: str, sampler: str, workers: int, ahead: int, trials: int,
              seed: int) -> RunConfig:  # fmt: skip
    return config_from(
        study=study, results_dir=str(results), sampler=sampler, seed=seed, objective="loss",
        **{"budget.target": "1M", "search.pruner": "none", "search.trials": trials,
           "proxy.epochs": 4, "workers.count": workers, "workers.ahead": ahead,
           "workers.device": "cpu"},
    )  # fmt: skip


class Remembered(SpaceCandidates):
    """Members whose networks are solved once for all the studies here."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._solved: dict[tuple[Any, ...], tuple[ArchSpec, Cost, float]] = {}

    def network(self, values: Mapping[str, Any]) -> tuple[ArchSpec, Cost, float]:
        key = tuple(sorted(values.items()))
        if key not in self._solved:
            self._solved[key] = super().network(values)
        return self._solved[key]


@cache
def members() -> SpaceCandidates:
    """Of the default space and budget."""
    config = config_of(Path(), "members", "random", 1, 0, 1, 0)
    budget = cost_budget(config)
    space = build_space(config.space, square(28), 1, CLASSES, budget)
    return Remembered(space, budget, CLASSES)


def clusters(count: int, seed: int) -> dict[str, Cluster]:
    """What goes wrong, by name."""
    equal = workers_of(count)
    found = {"equal machines": Cluster(equal, seed=seed)}
    if count > 1:
        found["a straggler of 10 times"] = Cluster(workers_of(count, 1), seed=seed)
        node = min(8, count // 2)
        found[f"{node} die after 5 min"] = Cluster(equal, dead=node, death_seconds=300, seed=seed)
    return found


def measure_idle(arguments: argparse.Namespace, home: Path) -> None:
    print("idle share by the loop's own order alone (sampler=random, its time not counted)")
    for count in arguments.workers:
        trials = max(arguments.least_trials, arguments.rounds * count)
        for name, cluster in clusters(count, arguments.seed).items():
            for share in arguments.ahead if count > 1 else (0,):
                ahead = round(share * count)
                study = f"idle-{count}-{len(name)}-{ahead}"
                config = config_of(home, study, "random", count, ahead, trials, arguments.seed)
                _, found, _ = run_simulated(config, members(), home, cluster)
                check_finite(f"idle share of {count} workers", [found.idle_share], 0, 1)
                print(
                    f"  {count} workers, {name}, ahead={ahead}, {trials} trials: idle "
                    f"{100 * found.idle_share:.1f}%, {found.now / 3600:.2f} h",
                    flush=True,
                )


def measure_same(arguments: argparse.Namespace, home: Path) -> None:
    count = min(8, max(arguments.workers))
    found = []
    for number, cluster in enumerate(
        (
            Cluster(workers_of(count), spread=0.0),
            Cluster(workers_of(count, 1), spread=1.0, seed=7),
            Cluster(workers_of(count), spread=0.5, dead=count // 2, death_seconds=100),
        )
    ):
        config = config_of(
            home, f"same-{number}", "surrogate", count, count, arguments.same_trials, 0
        )
        _, _, folder = run_simulated(config, members(), home, cluster)
        found.append(sorted(proposals(folder)))
    check(found[0] == found[1] == found[2], "the proposals depend on how quick the workers are")
    print(f"{count} workers, {arguments.same_trials} trials: the same proposals at any speeds")


def measure_ask(arguments: argparse.Namespace, home: Path) -> None:
    count = max(arguments.workers)
    print(f"{count} in flight, {arguments.ask_trials} trials, the loop's own time on the clock")
    for sampler in arguments.samplers:
        for ahead in (0, count):
            config = config_of(
                home, f"ask-{sampler}-{ahead}", sampler, count, ahead, arguments.ask_trials,
                arguments.seed,
            )  # fmt: skip
            seconds, real = [], loop.TrialLoop._ask

            def timed(self: loop.TrialLoop) -> object:
                started = time.process_time()
                trial = real(self)  # noqa: B023
                self.candidates.space.suggest(trial)
                seconds.append(time.process_time() - started)  # noqa: B023
                return trial

            loop.TrialLoop._ask = timed  # type: ignore[assignment, method-assign]
            try:
                tally, found, _ = run_simulated(
                    config, members(), home, Cluster(workers_of(count)), driver=True
                )
            finally:
                loop.TrialLoop._ask = real  # type: ignore[method-assign]
            late = seconds[len(seconds) // 2 :]
            check_finite(f"asks of {sampler}", late, 0, 60)
            print(
                f"  {sampler}, ahead={ahead}: {spread(late, 3)} s of CPU an ask in the second "
                f"half ({100 * np.median(late) / 60:.2f}% of a trial of 60 s), idle "
                f"{100 * found.idle_share:.1f}%; {tally.duplicates} asked twice",
                flush=True,
            )


class Pace:
    """Says every so many trials what a trial costs the loop, and ends it after some minutes."""

    def __init__(self, every: int, minutes: float, journal: Path) -> None:
        self.every, self.until, self.journal = every, time.monotonic() + 60 * minutes, journal
        self.done, self.cpu, self.wall = 0, time.process_time(), time.monotonic()

    def trial(self) -> None:
        self.done += 1
        if self.done % self.every == 0:
            cpu, wall = time.process_time(), time.monotonic()
            print(
                f"  {self.done:,} trials: {1000 * (cpu - self.cpu) / self.every:.1f} ms of CPU and "
                f"{1000 * (wall - self.wall) / self.every:.1f} ms a trial, journal "
                f"{self.journal.stat().st_size / 1e6:.0f} MB",
                flush=True,
            )
            self.cpu, self.wall = cpu, wall
        if time.monotonic() > self.until:
            raise TimeoutError


def measure_large(arguments: argparse.Namespace, home: Path) -> None:
    count = arguments.large_workers
    for sampler in arguments.large_samplers:
        study = f"large-{sampler}"
        print(f"{count:,} workers, sampler={sampler}, up to {arguments.trials:,} trials")
        config = config_of(home, study, sampler, count, 0, arguments.trials, arguments.seed)
        every = max(1, min(arguments.trials // 4, arguments.every))
        pace = Pace(every, arguments.minutes, home / study / "optuna.journal")
        real = vars(loop)["append_record"]

        def append(path: Path, record: object) -> None:
            real(path, record)  # noqa: B023
            pace.trial()  # noqa: B023

        vars(loop)["append_record"] = append
        try:
            _, found, _ = run_simulated(
                replace(config), members(), home, Cluster(workers_of(count))
            )
            print(f"  all {pace.done:,}: idle {100 * found.idle_share:.1f}%")
        except TimeoutError:
            print(f"  {pace.done:,} trials in {arguments.minutes:g} min, then no more")
        finally:
            vars(loop)["append_record"] = real


def main() -> None:
    parser = make_parser(__doc__, seed=0)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 8, 64])
    parser.add_argument("--ahead", type=float, nargs="+", default=[0, 0.5, 1, 2, 9],
                        help="times the workers")  # fmt: skip
    parser.add_argument("--rounds", type=int, default=20, help="trials of each worker")
    parser.add_argument("--least-trials", type=int, default=100)
    parser.add_argument("--same-trials", type=int, default=60)
    parser.add_argument("--ask-trials", type=int, default=300)
    parser.add_argument("--samplers", nargs="+", default=["surrogate", "tpe"])
    parser.add_argument("--large-workers", type=int, default=1000)
    parser.add_argument("--large-samplers", nargs="+", default=["random", "tpe"])
    parser.add_argument("--trials", type=int, default=100_000)
    parser.add_argument("--every", type=int, default=1000)
    parser.add_argument("--minutes", type=float, default=10, help="of each sampler's `large`")
    parser.add_argument("--results", default="results/many_workers")
    arguments = parse(
        parser, workers=[4], ahead=[0, 1], rounds=4, least_trials=12, same_trials=12,
        ask_trials=16, samplers=["surrogate"], large_workers=8, large_samplers=["random"],
        trials=24, minutes=1,
    )  # fmt: skip
    with results_folder(arguments.results, arguments.quick) as folder:
        for part in arguments.parts:
            {"idle": measure_idle, "same": measure_same, "ask": measure_ask,
             "large": measure_large}[part](arguments, folder)  # fmt: skip
    print_foot(arguments, "optuna", "scikit-learn")


if __name__ == "__main__":
    main()
