"""Fronts, volume and reward, against what can be seen by eye and brute force."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.pareto import hypervolume, non_dominated, reward

points = st.lists(st.tuples(st.integers(0, 8), st.integers(1, 8)), min_size=1, max_size=12)


@given(points)
def test_front_is_what_nothing_beats(found: list[tuple[int, int]]) -> None:
    accuracy, cost = np.array(found, dtype=float).T
    mask = non_dominated(accuracy, cost)
    for i in range(len(found)):
        beaten = any(
            (accuracy[j] >= accuracy[i] and cost[j] <= cost[i])
            and (accuracy[j] > accuracy[i] or cost[j] < cost[i])
            for j in range(len(found))
        )
        twin_before = any(found[j] == found[i] for j in range(i))
        assert mask[i] == (not beaten and not twin_before)


@given(points)
def test_hypervolume_is_the_dominated_area(found: list[tuple[int, int]]) -> None:
    accuracy, cost = np.array(found, dtype=float).T
    # Unit cells between the corner (accuracy 0, cost 9) and the points, counted one by one.
    cells = sum(
        any(a >= row + 1 and c <= column for a, c in found)
        for row in range(8)
        for column in range(9)
    )
    assert hypervolume(accuracy, cost, 0, 9) == pytest.approx(cells)


def test_nothing_has_no_front_and_no_volume() -> None:
    assert non_dominated([], []).shape == (0,)
    assert hypervolume([], [], 0, 1) == 0


def test_doubling_the_cost_must_buy_five_percent() -> None:
    # MnasNet §3.1: w = −0.07 makes 5% more accuracy at twice the cost a fair trade.
    cheap = reward(0.70, 200, 200, -0.07)
    dear = reward(0.70 * 1.05, 400, 200, -0.07)
    assert cheap == pytest.approx(0.70)
    assert dear == pytest.approx(cheap, rel=0.002)
