"""What a surface is made of: products of Legendre polynomials of depth, width and resolution."""

import itertools
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.polynomial import legendre

from scaling.fitting.observations import Floats, Integers

DEGREE: Final = 4
"""Highest total degree: within the factor of 6 that a design spans, accuracy is smooth."""
POWERS: Final = (1.0, 2.0, 2.0)
"""By how much cost grows with depth, width and resolution: it takes d·w²·r²."""


@dataclass(frozen=True)
class Polynomials:
    """All products of one polynomial per axis, up to a total degree of `DEGREE`.

    An axis is measured in doublings of the cost by it alone; all of the first three have the same
    `centre` and `reach`, so that where only cost counts, a surface's slopes are the same. Axes
    behind them (epochs, share of the images) have their own. Within the reach every product has a
    mean square of 1.
    """

    powers: Floats
    centre: Floats
    reach: Floats
    degrees: Integers
    """(products, axes)."""

    @classmethod
    def over(cls, logs: Floats, powers: tuple[float, ...] = POWERS) -> "Polynomials":
        """Those for (networks, axes) logs of multipliers."""
        axes = logs.shape[1]
        whole = np.array([*powers, *[1.0] * (axes - len(powers))])
        doublings = logs * whole / np.log(2)
        low, high = doublings.min(0), doublings.max(0)
        shared = slice(0, len(powers))
        low[shared], high[shared] = low[shared].min(), high[shared].max()
        degrees = [
            degree
            for degree in itertools.product(range(DEGREE + 1), repeat=axes)
            if sum(degree) <= DEGREE
        ]
        degrees.sort(key=lambda degree: (sum(degree), degree))
        reach = np.maximum((high - low) / 2, 1e-3)
        return cls(whole, (low + high) / 2, reach, np.array(degrees))

    @property
    def total(self) -> Integers:
        """(products,): the degree of each, over all axes."""
        return np.asarray(self.degrees.sum(1))

    def of(self, logs: Floats) -> Floats:
        """(points, axes) → (points, products)."""
        places = (logs * self.powers / np.log(2) - self.centre) / self.reach
        norms = np.sqrt(2 * np.arange(DEGREE + 1) + 1)
        found = np.ones((len(logs), len(self.degrees)))
        for axis, degrees in enumerate(self.degrees.T):
            found *= (legendre.legvander(places[:, axis], DEGREE) * norms)[:, degrees]
        return found
