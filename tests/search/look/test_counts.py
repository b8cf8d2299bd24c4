"""Counts that a hand can count."""

import numpy as np
import pytest

from search.look.counts import class_counts, extremes, imbalance, largest_class
from tests.search.look.conftest import data_of


def images(count: int) -> np.ndarray:
    return np.zeros((count, 4, 4), np.uint8)


def test_classes_are_counted_by_split() -> None:
    data = data_of(images(5), images(2), images(4), [[1, 1, 1, 1, 0], [0, 1], [1, 1, 1, 0]])
    counts = class_counts(data)
    assert counts.loc["class0"].to_dict() == {"train": 1, "val": 1, "test": 1, "all": 3}
    assert counts.loc["class1"].to_dict() == {"train": 4, "val": 1, "test": 3, "all": 8}
    assert imbalance(counts) == 4
    assert largest_class(counts) == ("class1", {"train": 0.8, "val": 0.5, "test": 0.75})


def test_of_many_classes_the_largest_and_the_smallest_are_shown() -> None:
    labels = [label for label in range(13) for _ in range(label + 1)]
    one = list(range(13))
    data = data_of(images(len(labels)), images(13), images(13), [labels, one, one], classes=13)
    counts = class_counts(data)
    assert extremes(counts, 5) == ([12, 11, 10, 9, 8], [4, 3, 2, 1, 0])
    everything, nothing = extremes(counts, 6)
    assert (sorted(everything), nothing) == (one, [])
    assert imbalance(counts.assign(train=[0, *one[1:]])) == pytest.approx(float("inf"))
