"""Interpolation between points that were measured: rates, kriging, a power law."""

from collections.abc import Sequence
from typing import Final

import numpy as np

from blocks.latency.held_out import Floats


def relative_least_squares(tasks: Floats, times: Floats) -> Floats:
    """Non-negative rates that make `tasks` @ rates near `times`, in relative error.

    Coordinate descent: for so few columns it converges in a moment, and needs no library.
    """
    columns = tasks / times[:, None]
    scale = np.sqrt((columns**2).mean(axis=0))
    scale[scale == 0] = 1.0
    columns = columns / scale
    gram, target = columns.T @ columns, columns.sum(axis=0)
    # A trace of ridge: a task that no unit has gets the rate 0 instead of an undefined one.
    gram[np.diag_indices_from(gram)] += 1e-6 * len(times)
    rates = np.zeros(len(target))
    for _ in range(3000):
        for index in range(len(rates)):
            step = (target[index] - gram[index] @ rates) / gram[index, index]
            rates[index] = max(0.0, rates[index] + step)
    result: Floats = rates / scale
    return result


def power_law(inputs: Sequence[float], outputs: Sequence[float]) -> tuple[float, float]:
    """The factor and power of outputs ≈ factor · inputs^power, all positive.

    Theil and Sen's line through the logarithms (the median of all slopes), so that a network
    that something else disturbed does not count. Fewer than `_FEWEST_FOR_POWER` give a factor.
    """
    x, y = np.log(np.array(inputs)), np.log(np.array(outputs))
    power = 1.0
    if len(x) >= _FEWEST_FOR_POWER:
        first, second = np.triu_indices(len(x), 1)
        apart = np.abs(x[second] - x[first]) > 0.1
        if apart.any():
            slopes = (y[second] - y[first])[apart] / (x[second] - x[first])[apart]
            power = float(np.median(slopes))
    return float(np.exp(np.median(y - power * x))), power


_FEWEST_FOR_POWER: Final = 10


class Kriging:
    """Gaussian-process mean with an exponential (Matérn ½) kernel.

    Length and noise are those of the least leave-one-out error (Rasmussen & Williams, 5.12).
    """

    _LENGTHS: Final = (8.0, 16.0, 32.0)
    _NOISES: Final = (0.02, 0.1, 0.5)
    _MOST: Final = 250
    """Points on which length and noise are chosen; the cubic cost is felt above."""

    def __init__(self, points: Floats, values: Floats) -> None:
        self._points = points
        self._mean = float(np.median(values))
        centred = values - self._mean
        step = -(-len(points) // self._MOST)
        few, few_values = points[::step], centred[::step]
        distances = _distances(few, few)
        candidates = [(length, noise) for length in self._LENGTHS for noise in self._NOISES]
        self.length, self.noise = min(
            candidates, key=lambda each: self._left_out(distances, few_values, *each)
        )
        kernel = np.exp(-_distances(points, points) / self.length)
        self._weights = np.linalg.solve(kernel + self.noise * np.eye(len(points)), centred)

    def predict(self, points: Floats) -> Floats:
        kernel = np.exp(-_distances(points, self._points) / self.length)
        found: Floats = self._mean + kernel @ self._weights
        return found

    @staticmethod
    def _left_out(distances: Floats, values: Floats, length: float, noise: float) -> float:
        inverse = np.linalg.inv(np.exp(-distances / length) + noise * np.eye(len(values)))
        return float(np.mean(np.abs(inverse @ values / np.diag(inverse))))


def _distances(first: Floats, second: Floats) -> Floats:
    squares = (first**2).sum(1)[:, None] + (second**2).sum(1) - 2 * first @ second.T
    found: Floats = np.sqrt(np.maximum(squares, 0.0))
    return found
