"""Seconds per ask after 1,000 finished trials, for every sampler, on one thread.

    python results/benchmarks/ask_time.py --table anb_5138.csv.gz --adapter accel_nasbench
    python results/benchmarks/ask_time.py --samplers surrogate gp --objectives 2

One study per sampler and set of candidates: the networks of a table (at most `--max-macs`), where
the objectives are `val_accuracy` and fewer macs, and the parameter boxes of two search spaces.
A box has no trained networks; its first objective is a stand-in, the logarithm of the macs less
a share of the logarithm of the parameters, with noise, which is as rough as accuracies are. A
time is that of `build_sampler`, as the trial loop makes one for every ask, and of the ask itself;
each trial asked is told a value before the next one.
"""

import gzip
import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import torch
from harness import check_finite, make_parser, parse, print_foot, results_folder, spread
from optuna.distributions import BaseDistribution, CategoricalDistribution
from threadpoolctl import threadpool_limits

from blocks.arch import parse_arch
from blocks.cost import count, count_many
from search.benchmark.config import BenchmarkConfig, TableBudgetConfig
from search.benchmark.problem import make_problem
from search.benchmark.table import read_table
from search.config.compose import compose_config
from search.config.schema import RunConfig
from search.samplers import SAMPLERS, build_sampler
from search.samplers.candidates import Candidates
from search.space.budget import Budget
from search.space.choices import build_space
from search.space.members import draw_members
from search.study.settle import open_members

Tell = Callable[[Mapping[str, Any]], list[float]]


class Case:
    """Candidates (None: a box), their parameters, trials that were, and what a new one is told."""

    def __init__(
        self,
        name: str,
        distributions: Mapping[str, BaseDistribution],
        trials: Sequence[tuple[dict[str, Any], list[float]]],
        tell: Tell,
        candidates: Candidates | None = None,
    ) -> None:
        self.name, self.distributions, self.trials = name, dict(distributions), trials
        self.tell, self.candidates = tell, candidates

    def ask_seconds(self, sampler: str, objectives: int, asks: int) -> list[float]:
        study = optuna.create_study(directions=["maximize"] * objectives)
        for params, values in self.trials:
            study.add_trial(
                optuna.trial.create_trial(
                    params=params, distributions=self.distributions, values=values[:objectives]
                )
            )
        seconds = []
        for number in range(asks):
            started = time.perf_counter()
            study.sampler = build_sampler(sampler, number, self.candidates)
            trial = study.ask(self.distributions)
            seconds.append(time.perf_counter() - started)
            study.tell(trial, self.tell(trial.params)[:objectives])
        return seconds


def table_case(path: str, adapter: str, max_macs: str, trials: int) -> Case:
    config = BenchmarkConfig(
        objectives=["val_accuracy", "-macs"],
        budget=TableBudgetConfig(max=max_macs),
        evaluations=1,
        longer={},
    )
    problem = make_problem(read_table(path, adapter), config)
    pool = problem.pool
    values = problem.values
    worst = list(values.min(0))

    def tell(params: Mapping[str, Any]) -> list[float]:
        code = pool.encode(params)
        assert code is not None
        position = int(pool.positions(code[None])[0])
        return list(values[position]) if position >= 0 else worst

    chosen = np.random.default_rng(0).permutation(len(pool))[:trials]
    known = [(pool.decode(pool.codes[row]), list(values[row])) for row in chosen]
    return Case(f"table, {len(pool)} networks", pool.distributions, known, tell, pool)


def small_table(path: Path) -> str:
    """A table of members of the default space, whose accuracy is a stand-in as that of a box."""
    data, members = open_members(compose_config("config", [], RunConfig))
    with gzip.open(path, "wt", encoding="utf-8") as file:
        for spelling in draw_members(members, 100, 0):
            macs = count(parse_arch(spelling), data.num_classes).macs
            file.write(json.dumps({"arch": spelling, "val_accuracy": 1 - macs**-0.1}) + "\n")
    return str(path)


def box_case(name: str, resolution: int, trials: int) -> Case:
    config = compose_config("config", [f"space={name}"], RunConfig)
    space = build_space(config.space, resolution, 3, 10, Budget("macs", 10**12))
    generator = np.random.default_rng(0)

    def values(many: Sequence[Mapping[str, Any]]) -> list[list[float]]:
        costs = count_many([space.build(params) for params in many], 10)
        noise = 0.1 * generator.standard_normal(len(many))
        accuracy = np.log(costs.macs) - 0.3 * np.log(costs.params) + noise
        return [[float(a), -float(m)] for a, m in zip(accuracy, costs.macs, strict=True)]

    drawn = [
        {key: options[generator.integers(len(options))] for key, options in space.choices.items()}
        for _ in range(trials)
    ]
    return Case(
        f"space={name}, {len(space.choices)} parameters",
        {key: CategoricalDistribution(options) for key, options in space.choices.items()},
        list(zip(drawn, values(drawn), strict=True)),
        lambda params: values([params])[0],
    )


def main() -> None:
    parser = make_parser(__doc__)
    parser.add_argument("--table", help="a benchmark file; without it, the boxes alone")
    parser.add_argument("--adapter", default="spelling")
    parser.add_argument("--max-macs", default="400M")
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--asks", type=int, default=10)
    parser.add_argument("--objectives", type=int, nargs="+", default=[1, 2], choices=[1, 2])
    parser.add_argument("--samplers", nargs="+", default=list(SAMPLERS), choices=list(SAMPLERS))
    arguments = parse(parser, trials=30, asks=1)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    torch.set_num_threads(1)
    threadpool_limits(1)
    cases = [box_case("tiny", 28, arguments.trials), box_case("efficientnet", 64, arguments.trials)]
    with results_folder(".", arguments.quick) as folder:
        table = arguments.table or (arguments.quick and small_table(folder / "table.jsonl.gz"))
        if table:
            case = table_case(table, arguments.adapter, arguments.max_macs, arguments.trials)
            cases.insert(0, case)
    print(f"seconds per ask after {arguments.trials} trials: median (5-95%) of {arguments.asks}")
    for case in cases:
        for objectives in arguments.objectives:
            print(f"{case.name}, {objectives} objective{'s' * (objectives > 1)}")
            for sampler in arguments.samplers:
                seconds = case.ask_seconds(sampler, objectives, arguments.asks)
                check_finite(sampler, seconds, low=0, high=600)
                print(f"  {sampler:<10} {spread(seconds, 3)}", flush=True)
    print_foot(arguments, "scikit-learn")


if __name__ == "__main__":
    main()
