"""Differences over seeds: by hand, and how often their intervals hold the truth."""

import numpy as np
import pytest
from scipy.stats import norm, ttest_ind

from scaling.differences import Noise, chance_to_win, difference, mean_difference, pooled_noise


def test_the_noise_of_a_table_by_hand() -> None:
    # Means 2 and 5: residuals ±1 and 0, two degrees of freedom.
    noise = pooled_noise([[1.0, 3.0], [5.0, 5.0]])
    assert (noise.variance, noise.freedom) == (1.0, 2)
    # What adds a constant to a network is no noise.
    assert pooled_noise([[1, 1, 1], [3, 3, 3]]).variance == 0


def test_two_networks_are_the_t_test() -> None:
    generator = np.random.default_rng(1)
    first, second = generator.standard_normal((2, 5))
    found = difference(first, second, pooled_noise([first, second]))
    peer = ttest_ind(first, second)
    interval = peer.confidence_interval(0.95)
    assert found.value / found.error == pytest.approx(peer.statistic)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))
    assert found.probability == pytest.approx(ttest_ind(first, second, alternative="less").pvalue)


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    generator = np.random.default_rng(2)
    truth, sigma = 0.7, 1.3
    win = norm.cdf(truth / (sigma * np.sqrt(2)))
    held = np.zeros(3)
    repeats = 400
    for _ in range(repeats):
        tables = sigma * generator.standard_normal((2, 6, 3))
        tables[:, 0] += truth
        parts = [difference(table[0], table[1], pooled_noise(table)) for table in tables]
        whole = mean_difference(parts)
        chance = chance_to_win(parts[0], 3)
        held += [
            parts[0].low <= truth <= parts[0].high,
            whole.low <= truth <= whole.high,
            chance.low <= win <= chance.high,
        ]
    assert all(0.92 <= share <= 0.98 for share in held / repeats), held / repeats


def test_a_chance_by_hand() -> None:
    even = difference([1.0, 2.0], [2.0, 1.0], Noise(1.0, 4))
    assert (even.value, even.probability, even.distinguishable) == (0.0, 0.5, False)
    chance = chance_to_win(even, 2)
    assert chance.value == 0.5
    assert chance.low == pytest.approx(1 - chance.high, abs=0.01)
    # No noise at all: the difference is the truth.
    sure = difference([0.9, 0.9], [0.8, 0.8], Noise(0.0, 1))
    assert (sure.probability, sure.distinguishable) == (1.0, True)
    assert (chance_to_win(sure, 2).low, chance_to_win(sure, 2).high) == (1.0, 1.0)
