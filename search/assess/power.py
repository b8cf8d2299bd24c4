"""What differences and rank correlations so many images and architectures can tell."""

import math
from typing import Final

from scipy.stats import norm

POWER: Final = 0.8


def standard_error(accuracy: float, images: int) -> float:
    """Of an accuracy measured on so many images."""
    return math.sqrt(accuracy * (1 - accuracy) / images)


def least_difference(accuracy: float, images: int) -> float:
    """The least difference of two networks that counts: 95%, unpaired, one training each."""
    return float(norm.ppf(0.975)) * math.sqrt(2) * standard_error(accuracy, images)


def null_band(architectures: int) -> float:
    """Half width of the 95% band of Kendall's tau between unrelated orders (Kendall 1938)."""
    return float(norm.ppf(0.975)) * _null_deviation(architectures)


def least_tau(architectures: int) -> float:
    """The tau that a two-sided 5% test tells from 0 with 80% power."""
    return min(1.0, float(norm.ppf(0.975) + norm.ppf(POWER)) * _null_deviation(architectures))


def architectures_for(tau: float) -> int:
    """The least number of architectures whose `least_tau` is at most `tau`.

    Raises:
        ValueError: tau is not between 0 and 1.
    """
    if not 0 < tau < 1:
        raise ValueError(f"tau={tau} is not between 0 and 1")
    number = 3
    while least_tau(number) > tau:
        number += 1
    return number


def _null_deviation(n: int) -> float:
    return math.sqrt(2 * (2 * n + 5) / (9 * n * (n - 1)))
