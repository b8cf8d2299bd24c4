"""Regret of `surrogate` and `tpe` on full tables of thousands of networks, paired by surface.

    python results/benchmarks/full_tables.py
    python results/benchmarks/full_tables.py --table anb_5138.csv.gz --adapter accel_nasbench

A full table holds every combination of the choices of a small space: here 4,096 networks of three
MBConv stages (repeats, kernel, expansion and SE of each). Where there are no trained networks at
hand, each seed draws a new surface of each kind over it:

- `saturating`: main effects of one sign, then diminishing returns: the optimum is a corner;
- `pairs`: the logarithm of the macs, main effects and interactions of two choices;
- `third`: main effects and interactions of three choices, which a regressor learns late;
- `rough`: macs and main effects, and an effect of each network alone, half as large as the macs'.

With `--table` the seeds draw the sampler's random numbers alone. Regret is how far the best network
so far is from the best of the table, in standard deviations of the table. Both samplers evaluate
feasible, new networks only.
"""

import itertools
import tempfile
import time
from argparse import Namespace
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
from harness import check, check_finite, make_parser, mean_interval, parse, print_foot, spread
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from search.benchmark.config import BenchmarkConfig
from search.benchmark.problem import Problem, make_problem, regrets
from search.benchmark.runs import search_pool
from search.benchmark.table import Table, read_table
from search.record.trials import derive_seed

Array = NDArray[np.float64]
SAMPLERS: Final = ("surrogate", "tpe")
AT: Final = (25, 50, 100, 150, 200)
STAGES: Final = ((1, 16), (2, 24), (2, 40))
"""Stride and channels of each stage."""


def spellings() -> Iterator[str]:
    """Every combination of four choices in each of three stages."""
    block = [
        (repeats, kernel, expansion, squeeze)
        for repeats in (1, 2)
        for kernel in (3, 5)
        for expansion in (3, 6)
        for squeeze in ("", "_se0.25")
    ]
    for combination in itertools.product(block, repeat=len(STAGES)):
        stages = [
            f"ir_r{repeats}_k{kernel}_s{stride}_e{expansion}_c{channels}{squeeze}"
            for (repeats, kernel, expansion, squeeze), (stride, channels) in zip(
                combination, STAGES, strict=True
            )
        ]
        yield f"r32-s16-[{'|'.join(stages)}]-h128"


def full_table() -> Table:
    """All networks of `spellings`, their accuracies not drawn yet."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "table.csv"
        pd.DataFrame({"arch": list(spellings()), "val_accuracy": 0.0}).to_csv(path, index=False)
        return read_table(str(path), num_classes=10)


def _saturating(choices: Array, macs: Array, generator: np.random.Generator) -> Array:
    gain = choices @ np.abs(generator.normal(size=choices.shape[1]))
    value: Array = 1 - np.exp(-0.8 * (gain - gain.min()) / gain.std())
    return value


def _pairs(choices: Array, macs: Array, generator: np.random.Generator) -> Array:
    number = choices.shape[1]
    weights = generator.normal(size=number)
    both = generator.normal(size=(number, number))
    value: Array = (
        macs + choices @ weights / 10 + np.einsum("ni,ij,nj->n", choices, both, choices) / 16
    )
    return value


def _third(choices: Array, macs: Array, generator: np.random.Generator) -> Array:
    value: Array = choices @ generator.normal(size=choices.shape[1]) / 3
    for _ in range(30):
        three = generator.choice(choices.shape[1], 3, replace=False)
        value += 0.06 * generator.normal() * choices[:, three].prod(1)
    return value


def _rough(choices: Array, macs: Array, generator: np.random.Generator) -> Array:
    main = choices @ generator.normal(size=choices.shape[1]) / 5
    value: Array = macs + main + generator.normal(size=len(macs)) / 2
    return value


SURFACES: Final[dict[str, Callable[[Array, Array, np.random.Generator], Array]]] = {
    "saturating": _saturating,
    "pairs": _pairs,
    "third": _third,
    "rough": _rough,
}


def problems(arguments: Namespace) -> dict[str, Callable[[int], Problem]]:
    """By name: the problem of a seed."""
    config = BenchmarkConfig(samplers=["tpe"], evaluations=1, longer={})
    if arguments.table:
        table = read_table(arguments.table, arguments.adapter, arguments.classes)
        known = make_problem(table, config)
        scaled = Problem(known.pool, known.values / known.values.std())
        return {Path(arguments.table).name: lambda seed: scaled}
    full = full_table()
    empty = make_problem(full, config)
    standard = _standard(empty.pool.codes)
    macs = _standard(np.log(full.column("macs")[empty.pool.rows]))

    def drawn(name: str) -> Callable[[int], Problem]:
        def problem(seed: int) -> Problem:
            generator = np.random.default_rng(derive_seed(seed, "surface", name))
            values = _standard(SURFACES[name](standard, macs, generator))
            return Problem(empty.pool, values[:, None])

        return problem

    return {name: drawn(name) for name in arguments.surfaces}


def _standard(values: Array) -> Array:
    standard: Array = (values - values.mean(0)) / values.std(0)
    return standard


def main() -> None:
    """Run both samplers on every surface and print their paired regrets."""
    parser = make_parser(__doc__, seed=0)
    parser.add_argument("--seeds", type=int, default=30)
    parser.add_argument("--evaluations", type=int, default=200)
    parser.add_argument("--surfaces", nargs="+", default=list(SURFACES), choices=list(SURFACES))
    parser.add_argument("--table", help="a table of trained networks instead")
    parser.add_argument("--adapter", default="spelling")
    parser.add_argument("--classes", type=int, default=1000, help="of the table's networks")
    arguments = parse(parser, seeds=2, evaluations=25, surfaces=["pairs"])
    check(arguments.seeds > 1, f"--seeds {arguments.seeds}: expected 2 or more")
    asked: list[float] = []
    with threadpool_limits(1):
        for name, problem_of in problems(arguments).items():
            curves: dict[str, list[Array]] = {sampler: [] for sampler in SAMPLERS}
            for seed in range(arguments.seed, arguments.seed + arguments.seeds):
                problem = problem_of(seed)
                for sampler in SAMPLERS:
                    own = derive_seed(seed, "full_tables", sampler)
                    rows, times = [], [time.perf_counter()]
                    for row in search_pool(problem, sampler, own, arguments.evaluations):
                        rows.append(row)
                        times.append(time.perf_counter())
                    curves[sampler].append(regrets(problem, rows))
                    if sampler == SAMPLERS[0]:
                        asked.extend(np.diff(times)[-10:])
            _report(name, {sampler: np.stack(found) for sampler, found in curves.items()})
    print(
        f"one evaluation of {SAMPLERS[0]} near {arguments.evaluations}: "
        f"{spread(1000 * np.array(asked), 0)} ms"
    )
    print_foot(arguments, "optuna", "scikit-learn")


def _report(name: str, curves: dict[str, Array]) -> None:
    """Regrets, the paired difference with its 95% interval, and how often the best was found."""
    ours, theirs = (curves[sampler] for sampler in SAMPLERS)
    for number in [number for number in AT if number <= ours.shape[1]]:
        difference = ours[:, number - 1] - theirs[:, number - 1]
        check_finite(f"regret at {number}", difference)
        low, high = mean_interval(difference)
        optimum = [int((found[:, number - 1] <= 1e-9).sum()) for found in (ours, theirs)]
        print(
            f"{name:11} @{number:<4} regret {ours[:, number - 1].mean():.3f} against "
            f"{theirs[:, number - 1].mean():.3f}: {difference.mean():+.3f} ({low:+.3f} to "
            f"{high:+.3f})  optimum found {optimum[0]}, {optimum[1]} of {len(ours)}",
            flush=True,
        )


if __name__ == "__main__":
    main()
