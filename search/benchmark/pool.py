"""The networks of a table that a search may choose from."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution, CategoricalDistribution

from search.benchmark.table import COSTS, Table
from search.errors import ConfigError
from search.samplers.box import Box, mutate
from search.samplers.candidates import Code, Codes, Features


class Pool:
    """Rows of a table as candidates: a search proposes only networks that were trained.

    `rows` are the table's feasible rows; `extra` names columns that are known before training,
    zero-cost scores for example, and may be read by a model.
    """

    def __init__(self, table: Table, rows: NDArray[np.intp], extra: Sequence[str] = ()) -> None:
        self.rows = rows
        self.codes = table.codes[rows]
        self.distributions: Mapping[str, BaseDistribution] = {
            name: CategoricalDistribution(values) for name, values in table.choices.items()
        }
        self._box = Box(self.distributions)
        costs = [np.log(np.maximum(table.column(name)[rows], 1.0)) for name in COSTS]
        known = [table.column(name)[rows] for name in extra]
        ranks = self._box.features(self.codes)
        self._features = np.concatenate([ranks, np.stack([*costs, *known], 1)], 1)
        keys = self.identities(self.codes)
        self._order = np.argsort(keys)
        self._sorted = keys[self._order]

    def __len__(self) -> int:
        return len(self.rows)

    def positions(self, codes: Codes) -> NDArray[np.intp]:
        """Where in the pool each code stands; -1 where it does not."""
        keys = self.identities(codes)
        at = np.minimum(np.searchsorted(self._sorted, keys), len(self._sorted) - 1)
        return np.where(self._sorted[at] == keys, self._order[at], -1)

    def nearest(self, code: Code, free: NDArray[np.bool_]) -> int:
        """The free candidate at the least distance in ranks; of equals the first."""
        ranks = self._box.features(np.concatenate([code[None], self.codes[free]]))
        distances = np.abs(ranks[1:] - ranks[0]).sum(1)
        return int(np.flatnonzero(free)[int(np.argmin(distances))])

    def encode(self, params: Mapping[str, Any]) -> Code | None:
        """The code of one combination; None where a value is none of the choices."""
        return self._box.encode(params)

    def decode(self, code: Code) -> dict[str, Any]:
        """The combination behind a code."""
        return self._box.decode(code)

    def sample(self, number: int, generator: np.random.Generator) -> Codes:
        """`number` of the pool without repetition, or all of it."""
        chosen = generator.permutation(len(self))[:number]
        return self.codes[chosen]

    def vary(self, parents: Codes, number: int, generator: np.random.Generator) -> Codes:
        """Those of `number` mutants that are in the pool."""
        mutants = mutate(
            parents[generator.integers(len(parents), size=number)], self._box.sizes, generator
        )
        return mutants[self.positions(mutants) >= 0]

    def identities(self, codes: Codes) -> NDArray[np.float64]:
        """No two codes are the same network."""
        return self._box.identities(codes)

    def near(self, code: Code) -> Codes:
        """Those of the pool that differ from `code` in a single choice."""
        found = self._box.near(code)
        return found[self.positions(found) >= 0]

    def features(self, codes: Codes) -> Features:
        """Ranks of the choices, logarithms of the counted costs, and the extra columns."""
        return self._features[self.positions(codes)]


def feasible_rows(
    table: Table, columns: Sequence[str], budget_metric: str, least: float, most: float
) -> NDArray[np.intp]:
    """Rows that have all `columns`, and whose `budget_metric` is within the budget.

    Raises:
        ConfigError: fewer than two do.
    """
    cost = table.column(budget_metric)
    usable = (cost >= least) & (cost <= most)
    for name in columns:
        usable &= np.isfinite(table.column(name))
    rows = np.flatnonzero(usable)
    if len(rows) < 2:
        raise ConfigError(
            f"budget {budget_metric} from {least:g} to {most:g} leaves {len(rows)} of the table's "
            f"{len(table.archs)} networks; theirs is {cost.min():g} to {cost.max():g}"
        )
    return rows
