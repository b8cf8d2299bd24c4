"""Independent parameters as candidates: how their values are coded, drawn, crossed and mutated."""

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from search.samplers.candidates import Code, Codes, Features

MUTATION_SCALE: Final = 0.2
"""Standard deviation of a mutated number, as a share of its range."""


class Box:
    """Independent parameters: the product of Optuna distributions. Nothing is infeasible."""

    def __init__(self, distributions: Mapping[str, BaseDistribution]) -> None:
        self.distributions: Mapping[str, BaseDistribution] = dict(distributions)
        self.sizes = np.array([_size(one) for one in self.distributions.values()])
        self._numbers = [_numbers(one) for one in self.distributions.values()]

    def __len__(self) -> int:
        return min(int(np.prod(np.where(self.sizes, self.sizes, 1e9))), 2**62)

    def encode(self, params: Mapping[str, Any]) -> Code | None:
        """The code of one combination; None where a value is outside its distribution."""
        code = np.empty(len(self.distributions))
        for position, (name, distribution) in enumerate(self.distributions.items()):
            if name not in params:
                return None
            place = _place(distribution, params[name])
            if place is None:
                return None
            code[position] = place
        return code

    def decode(self, code: Code) -> dict[str, Any]:
        """The combination behind a code."""
        return {
            name: _value(distribution, float(place))
            for (name, distribution), place in zip(self.distributions.items(), code, strict=True)
        }

    def sample(self, number: int, generator: np.random.Generator) -> Codes:
        """`number` combinations, uniformly at random; all of them where there are no more."""
        if number >= len(self):
            return generator.permutation(
                np.array(list(itertools.product(*map(range, self.sizes))), dtype=float)
            ).reshape(-1, len(self.sizes))
        places = generator.random((number, len(self.sizes)))
        return np.where(self.sizes, np.floor(places * self.sizes), places)

    def vary(self, parents: Codes, number: int, generator: np.random.Generator) -> Codes:
        """Children of `parents`: half are crossed with another parent, all are mutated in at
        least one parameter."""
        mother = parents[generator.integers(len(parents), size=number)]
        father = parents[generator.integers(len(parents), size=number)]
        crossed = generator.random((number, 1)) < 0.5
        child = np.where(crossed & (generator.random(mother.shape) < 0.5), father, mother)
        return mutate(child, self.sizes, generator)

    def near(self, code: Code) -> Codes:
        """All that differ from `code` in a single choice; numbers stay."""
        return neighbours(code, self.sizes)

    def identities(self, codes: Codes) -> NDArray[np.float64]:
        """No two codes are the same."""
        return hashed(codes)

    def features(self, codes: Codes) -> Features:
        """Numbers by their place, ordered choices by their rank, others one column a choice."""
        columns: list[NDArray[np.float64]] = []
        for position, (size, numbers) in enumerate(zip(self.sizes, self._numbers, strict=True)):
            place = codes[:, position]
            if not size:
                columns.append(place)
            elif numbers is not None:
                columns.append(numbers[place.astype(int)])
            else:
                columns += [(place == choice).astype(float) for choice in range(size)]
        return np.stack(columns, 1) if columns else np.zeros((len(codes), 0))


def mutate(codes: Codes, sizes: NDArray[np.int64], generator: np.random.Generator) -> Codes:
    """Each row changed in one parameter, and in every other with probability 1/parameters."""
    rows, columns = codes.shape
    changed = generator.random(codes.shape) < 1 / max(1, columns)
    changed[np.arange(rows), generator.integers(columns, size=rows)] = True
    # Another choice than the present one; a number moves by a share of its range.
    step = 1 + np.floor(generator.random(codes.shape) * np.maximum(1, sizes - 1))
    other = np.where(sizes > 1, (codes + step) % np.maximum(1, sizes), codes)
    moved = np.clip(codes + MUTATION_SCALE * generator.standard_normal(codes.shape), 0, 1)
    return np.where(changed, np.where(sizes, other, moved), codes)


def neighbours(code: Code, sizes: NDArray[np.int64]) -> Codes:
    """Every code that differs from `code` in a single choice, (neighbours, parameters)."""
    others = [
        (position, place)
        for position, size in enumerate(sizes)
        for place in range(size)
        if place != code[position]
    ]
    found = np.repeat(code[None], len(others), axis=0)
    for row, (position, place) in enumerate(others):
        found[row, position] = place
    return found


def hashed(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """(rows,): whole numbers below 2⁵³, the same for the same row.

    Random hashes: among 200,000 different rows two meet once in 400,000 times.
    """
    words = np.ascontiguousarray(rows + 0.0).view(np.uint64)
    factors = np.random.default_rng(0).integers(1, 2**63, words.shape[1], dtype=np.uint64)
    # The low bits of most floats are 0: their halves are mixed before they are added.
    mixed = (words ^ (words >> np.uint64(32))) * (factors | np.uint64(1))
    found = mixed.sum(1, dtype=np.uint64)
    found = (found ^ (found >> np.uint64(31))) * np.uint64(0x9E3779B97F4A7C15)
    numbers: NDArray[np.float64] = (found >> np.uint64(11)).astype(np.float64)
    return numbers


def ranks(values: Sequence[Any]) -> Code | None:
    """Place of each choice in order of size, from 0 to 1; None where they are not all numbers."""
    if not all(isinstance(value, bool | int | float) and math.isfinite(value) for value in values):
        return None
    if len(set(values)) < len(values):
        return None
    order = np.argsort(np.argsort(np.asarray(values, dtype=float), kind="stable"))
    return order / max(1, len(values) - 1)


def _size(distribution: BaseDistribution) -> int:
    """Number of choices; 0 for a range."""
    if isinstance(distribution, CategoricalDistribution):
        return len(distribution.choices)
    return 1 if distribution.single() else 0


def _numbers(distribution: BaseDistribution) -> Code | None:
    if isinstance(distribution, CategoricalDistribution):
        return ranks(distribution.choices)
    return np.zeros(1)


def _place(distribution: BaseDistribution, value: Any) -> float | None:
    if isinstance(distribution, CategoricalDistribution):
        try:
            return distribution.to_internal_repr(value)
        except ValueError:
            return None
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    if not distribution.low <= value <= distribution.high:
        return None
    if distribution.single():
        return 0.0
    low, high = _ends(distribution)
    at = math.log(value) if distribution.log else float(value)
    return min(1.0, max(0.0, (at - low) / (high - low)))


def _value(distribution: BaseDistribution, place: float) -> Any:
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices[round(place)]
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    if distribution.single():
        return distribution.low
    low, high = _ends(distribution)
    value = low + place * (high - low)
    value = math.exp(value) if distribution.log else value
    if distribution.step is not None:
        steps = round((value - distribution.low) / distribution.step)
        value = distribution.low + steps * distribution.step
    value = min(max(value, distribution.low), distribution.high)
    return round(value) if isinstance(distribution, IntDistribution) else float(value)


def _ends(distribution: FloatDistribution | IntDistribution) -> tuple[float, float]:
    """The range in the scale that it is sampled in; whole numbers and steps keep half a step of
    room at both ends, so that each is as likely as the others."""
    low, high = float(distribution.low), float(distribution.high)
    if distribution.log:
        room = 0.5 if isinstance(distribution, IntDistribution) else 0.0
        return math.log(max(low - room, low / 2)), math.log(high + room)
    room = distribution.step / 2 if distribution.step is not None else 0.0
    return low - room, high + room
