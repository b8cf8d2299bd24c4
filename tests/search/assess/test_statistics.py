"""Rank correlations and proportions against SciPy's, intervals against resamples ranked anew."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats
from scipy.stats import binomtest

from search.assess import statistics
from search.assess.statistics import (
    Estimate,
    kendall_difference,
    partial_spearman,
    rank_correlation,
    spearman_difference,
    wilson,
)

Array = NDArray[np.float64]
# Few values, so that most samples have ties.
PAIRS = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=5, max_size=30)


def related(count: int, noise: float, seed: int = 0) -> tuple[Array, Array]:
    generator = np.random.default_rng(seed)
    x = generator.normal(size=count)
    return x, x + noise * generator.normal(size=count)


@given(PAIRS)
def test_the_estimates_are_those_of_scipy(pairs: list[tuple[int, int]]) -> None:
    x, y = np.array(pairs).T
    found = rank_correlation(x, y)
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        assert math.isnan(found.tau)
        assert math.isnan(found.rho)
        return
    assert found.tau == pytest.approx(stats.kendalltau(x, y).statistic, abs=1e-12)
    assert found.rho == pytest.approx(stats.spearmanr(x, y).statistic, abs=1e-12)


def test_weights_are_repetitions() -> None:
    x, y = related(12, 1.0)
    weights = statistics._weights(12, 3)
    assert (weights.sum(1) == 12).all()
    signs = statistics._signs(x), statistics._signs(y)
    taus, rhos = statistics._kendall(weights, *signs), statistics._spearman(weights, *signs)
    for row in (0, 1, 2, 77, 2000):
        times = weights[row].astype(int)
        drawn = np.repeat(x, times), np.repeat(y, times)
        assert taus[row] == pytest.approx(stats.kendalltau(*drawn).statistic)
        assert rhos[row] == pytest.approx(stats.spearmanr(*drawn).statistic)


def test_intervals_agree_with_scipys_bootstrap() -> None:
    x, y = related(80, 1.0)
    theirs = stats.bootstrap(
        (x, y),
        lambda a, b: stats.spearmanr(a, b).statistic,
        paired=True,
        vectorized=False,
        method="percentile",
        n_resamples=2000,
        rng=np.random.default_rng(1),
    ).confidence_interval
    assert rank_correlation(x, y).rho_interval == pytest.approx(theirs, abs=0.03)


def test_partial_rho_is_that_of_the_residuals_of_ranks() -> None:
    x, y = related(50, 1.0)
    controls = [x + related(50, 1.0, seed)[1] for seed in (1, 2)]
    design = np.column_stack([np.ones(50), *(stats.rankdata(column) for column in controls)])

    def residuals(values: Array) -> Array:
        ranks = stats.rankdata(values)
        fitted: Array = design @ np.linalg.lstsq(design, ranks)[0]
        return ranks - fitted

    expected = stats.pearsonr(residuals(x), residuals(y)).statistic
    found = partial_spearman(x, y, controls)
    assert found.value == pytest.approx(expected)
    assert found.interval[0] < expected < found.interval[1]
    # A control twice, or one that is constant, takes nothing more away.
    same = partial_spearman(x, y, [*controls, controls[0], np.zeros(50)])
    assert same.value == pytest.approx(expected)


def test_what_the_controls_explain_has_no_partial_rho() -> None:
    x, y = related(30, 1.0)
    for values in (x, np.exp(x), np.ones(30)):
        found = partial_spearman(values, y, [x, np.zeros(30)])
        assert math.isnan(found.value)
        assert math.isnan(found.interval[0])


@pytest.mark.parametrize(
    ("difference", "coefficient"),
    [(spearman_difference, stats.spearmanr), (kendall_difference, stats.kendalltau)],
)
def test_a_difference_resamples_both_together(
    difference: Callable[..., Estimate], coefficient: Callable[..., Any]
) -> None:
    y, good = related(40, 0.3)
    poor = related(40, 3.0)[1]
    better = difference(good, poor, y)
    found = [coefficient(values, y).statistic for values in (good, poor)]
    assert better.value == pytest.approx(found[0] - found[1])
    assert better.interval[0] > 0
    # Of one and the same order, resampled together, nothing is left: apart, much would be.
    assert difference(good, np.exp(good), y).interval == (0, 0)


def test_intervals_hold_what_they_promise() -> None:
    """Of 200 samples of a known rho about 95% of the intervals contain it."""
    rho = 6 / math.pi * math.asin(math.sqrt(0.5) / 2)  # of two normals of correlation √½
    held = 0
    for seed in range(200):
        low, high = rank_correlation(*related(60, 1.0, seed)).rho_interval
        held += low <= rho <= high
    assert 0.9 <= held / 200 <= 0.99


@pytest.mark.parametrize(("correct", "images"), [(0, 10), (3, 10), (10, 10), (331, 397)])
def test_wilson_is_scipys(correct: int, images: int) -> None:
    peer = binomtest(correct, images).proportion_ci(method="wilson")
    assert wilson(correct / images, images) == pytest.approx((peer.low, peer.high), abs=1e-7)
