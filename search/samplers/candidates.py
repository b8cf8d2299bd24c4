"""What a sampler may propose: boxes of parameters, spaces of architectures, rows of a table.

Candidates are rows of a code matrix (candidates, parameters), float64. A code is the position of
a choice among its parameter's choices, or, where a parameter is a range, its place in [0, 1].
"""

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution

Code = NDArray[np.float64]
Codes = NDArray[np.float64]
Features = NDArray[np.float64]


class Candidates(Protocol):
    """Everything that may be proposed, and what a model may know of it without evaluating it."""

    distributions: Mapping[str, BaseDistribution]
    """The parameters, as Optuna knows them; every candidate has all of them."""

    def __len__(self) -> int:
        """How many there are; of ranges and large spaces any large number."""

    def encode(self, params: Mapping[str, Any]) -> Code | None:
        """The code of one combination; None where it is none of these."""

    def decode(self, code: Code) -> dict[str, Any]:
        """The combination behind a code."""

    def sample(self, number: int, generator: np.random.Generator) -> Codes:
        """At most `number` of them, uniformly at random, all feasible."""

    def vary(self, parents: Codes, number: int, generator: np.random.Generator) -> Codes:
        """At most `number` feasible ones near `parents`."""

    def near(self, code: Code) -> Codes:
        """The feasible ones that differ from `code` in a single choice."""

    def identities(self, codes: Codes) -> NDArray[np.float64]:
        """(candidates,): the same number where two codes stand for the same network."""

    def features(self, codes: Codes) -> Features:
        """(candidates, features): what a regressor reads."""
