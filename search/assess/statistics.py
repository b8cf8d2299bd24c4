"""Rank correlations with bootstrap intervals; the interval of a proportion.

Each resample is a row of weights, how often every pair was drawn. The signs of all differences,
taken once, then give the ranks and the concordances of all resamples by matrix products, where
ranking each anew would take seconds. Intervals are 95% percentile intervals, and resamples
without a correlation (all values equal) are left out of them.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

RESAMPLES: Final = 2000
Z: Final = 1.959964
"""Of a normal distribution 95% are within so many deviations."""
_Array = NDArray[np.float64]
_NOTHING_LEFT: Final = 1e-9
"""Share of a variance below which the controls explain all of it."""


@dataclass(frozen=True)
class Estimate:
    """A number and its 95% bootstrap interval; all nan where there is none."""

    value: float
    interval: tuple[float, float]


@dataclass(frozen=True)
class Correlation:
    """Kendall's tau-b and Spearman's rho, each with its 95% bootstrap interval."""

    tau: float
    rho: float
    tau_interval: tuple[float, float]
    rho_interval: tuple[float, float]


def rank_correlation(x: ArrayLike, y: ArrayLike, seed: int = 0) -> Correlation:
    """How alike `x` and `y` (both of shape (n,)) are ordered; nan where one is constant."""
    signs = [_signs(x), _signs(y)]
    weights = _weights(len(signs[0]), seed)
    tau, rho = _estimate(_kendall(weights, *signs)), _estimate(_spearman(weights, *signs))
    return Correlation(tau.value, rho.value, tau.interval, rho.interval)


def partial_spearman(
    x: ArrayLike, y: ArrayLike, controls: Sequence[ArrayLike], seed: int = 0
) -> Estimate:
    """Spearman's rho of what is left of the ranks of `x` and `y` after those of the controls.

    All have shape (n,). Ranks are regressed linearly on the ranks of `controls`; nan where these
    leave nothing of `x` or of `y`.
    """
    signs = [_signs(values) for values in (x, y, *controls)]
    moments = _rank_moments(_weights(len(signs[0]), seed), signs)
    inner = np.linalg.pinv(moments[:, 2:, 2:], rcond=1e-10, hermitian=True)
    left = moments[:, :2, :2] - moments[:, :2, 2:] @ inner @ moments[:, 2:, :2]
    left[left[:, (0, 1), (0, 1)].min(1) < _NOTHING_LEFT] = np.nan
    return _estimate(left[:, 0, 1] / np.sqrt(left[:, 0, 0] * left[:, 1, 1]))


def spearman_difference(a: ArrayLike, b: ArrayLike, y: ArrayLike, seed: int = 0) -> Estimate:
    """rho(a, y) − rho(b, y), all of shape (n,); its interval resamples the three together."""
    return _difference(_spearman, a, b, y, seed)


def kendall_difference(a: ArrayLike, b: ArrayLike, y: ArrayLike, seed: int = 0) -> Estimate:
    """tau(a, y) − tau(b, y), all of shape (n,); its interval resamples the three together."""
    return _difference(_kendall, a, b, y, seed)


def wilson(share: float, number: int) -> tuple[float, float]:
    """95% interval of a proportion, `share` of `number` trials (Wilson 1927)."""
    middle = (share + Z**2 / (2 * number)) / (1 + Z**2 / number)
    half = Z * math.sqrt(share * (1 - share) / number + Z**2 / (4 * number**2))
    half /= 1 + Z**2 / number
    return max(0.0, middle - half), min(1.0, middle + half)


def _weights(count: int, seed: int) -> _Array:
    """(1 + RESAMPLES, count): the sample itself, then how often each resample drew each pair."""
    generator = np.random.default_rng(seed)
    drawn = generator.multinomial(count, np.full(count, 1 / count), size=RESAMPLES)
    return np.vstack([np.ones(count), drawn])


def _difference(
    coefficient: Callable[[_Array, _Array, _Array], _Array],
    a: ArrayLike,
    b: ArrayLike,
    y: ArrayLike,
    seed: int,
) -> Estimate:
    """How much more alike to `y` is `a` ordered than `b`, by `_kendall` or `_spearman`."""
    signs = [_signs(values) for values in (a, b, y)]
    weights = _weights(len(signs[0]), seed)
    return _estimate(
        coefficient(weights, signs[0], signs[2]) - coefficient(weights, signs[1], signs[2])
    )


def _signs(values: ArrayLike) -> _Array:
    """(n, n): sign of value j less value i."""
    column = np.asarray(values, dtype=np.float64)
    return np.sign(column[None, :] - column[:, None])


def _kendall(weights: _Array, x: _Array, y: _Array) -> _Array:
    """tau-b of each row of weights: concordant less discordant over the pairs that are no ties."""

    def pairs(signs: _Array) -> _Array:
        counted: _Array = ((weights @ signs) * weights).sum(1)
        return counted

    return _divide(pairs(x * y), np.sqrt(pairs(np.abs(x)) * pairs(np.abs(y))))


def _spearman(weights: _Array, x: _Array, y: _Array) -> _Array:
    """rho of each row of weights."""
    moments = _rank_moments(weights, [x, y])
    return _divide(moments[:, 0, 1], np.sqrt(moments[:, 0, 0] * moments[:, 1, 1]))


def _rank_moments(weights: _Array, signs: Sequence[_Array]) -> _Array:
    """(rows of weights, k, k): correlations of the ranks of k variables; 0 of a constant one."""
    # How many are below less how many are above: twice the mid-rank, centred.
    ranks = np.stack([weights @ matrix for matrix in signs], axis=1)
    products = np.einsum("rn,rpn,rqn->rpq", weights, ranks, ranks, optimize=True)
    size = np.sqrt(np.diagonal(products, axis1=1, axis2=2))
    return np.nan_to_num(_divide(products, size[:, :, None] * size[:, None, :]))


def _divide(above: _Array, below: _Array) -> _Array:
    quotient: _Array = np.divide(above, below, out=np.full(above.shape, np.nan), where=below > 0)
    return quotient


def _estimate(values: _Array) -> Estimate:
    """The first value, of the sample, with the interval of the others, of its resamples."""
    resampled = values[1:][np.isfinite(values[1:])]
    if not (np.isfinite(values[0]) and len(resampled)):
        return Estimate(np.nan, (np.nan, np.nan))
    low, high = np.quantile(resampled, [0.025, 0.975])
    return Estimate(float(values[0]), (float(low), float(high)))
