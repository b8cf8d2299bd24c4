"""Differences between networks that were trained with the same number of seeds.

All networks are measured on the same images, whose choice is therefore no part of the noise. What
is, is a training's luck: its seed follows from the architecture too, so that the n-th trainings of
two networks have nothing in common and the analysis is a one-way layout. The noise is pooled over
all networks, where the two or three trainings of one pair alone would hardly tell it. Intervals
are t intervals of that noise, 95%.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import norm
from scipy.stats import t as student

_DRAWS: Final = 100_000
_SURE: Final = 0.975


@dataclass(frozen=True)
class Noise:
    """Variance of one training's accuracy, and its degrees of freedom."""

    variance: float
    freedom: float


@dataclass(frozen=True)
class Difference:
    """A difference of mean accuracies, its 95% interval, and the chance that it is not below 0.

    `probability` is that of a true difference of 0 or more, given the data (flat prior).
    """

    value: float
    low: float
    high: float
    error: float
    freedom: float
    probability: float

    @property
    def distinguishable(self) -> bool:
        """Whether the interval is on one side of 0."""
        return self.low > 0 or self.high < 0


@dataclass(frozen=True)
class Chance:
    """A probability and its 95% interval."""

    value: float
    low: float
    high: float


def pooled_noise(accuracies: ArrayLike) -> Noise:
    """The noise of a table (networks, seeds), two seeds or more.

    Residuals from every network's mean: networks·(seeds − 1) degrees of freedom.
    """
    table: NDArray[np.float64] = np.asarray(accuracies, dtype=np.float64)
    networks, seeds = table.shape
    left = table - table.mean(1, keepdims=True)
    freedom = networks * (seeds - 1)
    return Noise(float((left**2).sum() / freedom), freedom)


def difference(first: ArrayLike, second: ArrayLike, noise: Noise) -> Difference:
    """Mean of `first` less mean of `second`, both of shape (seeds,)."""
    ours, theirs = (np.asarray(each, dtype=np.float64) for each in (first, second))
    error = math.sqrt(noise.variance * (1 / len(ours) + 1 / len(theirs)))
    return _difference(float(ours.mean() - theirs.mean()), error, noise.freedom)


def mean_difference(parts: Sequence[Difference]) -> Difference:
    """The mean of independent differences; its degrees of freedom are Satterthwaite's."""
    variances = [part.error**2 for part in parts]
    whole = sum(variances)
    weights = [v**2 / part.freedom for v, part in zip(variances, parts, strict=True)]
    freedom = whole**2 / sum(weights) if whole else sum(part.freedom for part in parts)
    value = sum(part.value for part in parts) / len(parts)
    return _difference(value, math.sqrt(whole) / len(parts), freedom)


def chance_to_win(found: Difference, seeds: int) -> Chance:
    """That a training of the first is at least as accurate as one of the second.

    Φ(δ/(σ√2)) of the true difference δ and noise σ. Its interval is exact where accuracies are
    normal: that of the noncentrality of the t statistic, whose pivot T·√(χ²/ν) − Z is drawn.
    """
    if found.error == 0:
        sure = 0.5 + 0.5 * float(np.sign(found.value))
        return Chance(sure, sure, sure)
    statistic = found.value / found.error
    generator = np.random.default_rng(0)
    shrunk = np.sqrt(generator.chisquare(found.freedom, _DRAWS) / found.freedom)
    centres = statistic * shrunk - generator.standard_normal(_DRAWS)
    low, high = np.quantile(centres, [1 - _SURE, _SURE])
    value, low, high = (float(norm.cdf(each / math.sqrt(seeds))) for each in (statistic, low, high))
    return Chance(value, low, high)


def _difference(value: float, error: float, freedom: float) -> Difference:
    if error == 0:
        return Difference(value, value, value, 0.0, freedom, float(value >= 0))
    margin = float(student.ppf(_SURE, freedom)) * error
    probability = float(student.cdf(value / error, freedom))
    return Difference(value, value - margin, value + margin, error, freedom, probability)


def in_points(value: float, low: float, high: float) -> str:
    """A difference of accuracies and its interval in points: `+0.40 (-0.20 to +1.00)`."""
    # + 0: there is no −0.00.
    shown = [round(100 * each, 2) + 0.0 for each in (value, low, high)]
    return f"{shown[0]:+.2f} ({shown[1]:+.2f} to {shown[2]:+.2f})"
