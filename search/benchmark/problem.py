"""A table as a search problem: which of its networks may be chosen, and what is wanted of them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from search.benchmark.config import BenchmarkConfig
from search.benchmark.pool import Pool, feasible_rows
from search.benchmark.table import Table
from search.errors import ConfigError
from search.pareto import hypervolume


@dataclass(frozen=True)
class Problem:
    """A pool and what is wanted of it: `values` (pool, objectives), all to be maximised."""

    pool: Pool
    values: NDArray[np.float64]


def make_problem(table: Table, config: BenchmarkConfig, to_come: int = 0) -> Problem:
    """The feasible rows of a table and their objectives; `to_come` more are still to be added.

    Raises:
        ConfigError: a column is missing, or the budget leaves too few networks.
    """
    signs = [-1.0 if name.startswith("-") else 1.0 for name in config.objectives]
    rows = feasible_rows(
        table, [*config.columns, *config.table.features], config.budget.metric, *config.limits
    )
    values = np.stack(
        [sign * table.column(name)[rows] for name, sign in zip(config.columns, signs, strict=True)],
        1,
    )
    longest = max(config.length(name) for name in config.samplers)
    if longest > len(rows) + to_come:
        raise ConfigError(
            f"{longest} evaluations are more than the {len(rows) + to_come} feasible networks of "
            "the table"
        )
    return Problem(Pool(table, rows, config.table.features), values)


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
