"""What is told of a network, against scikit-learn and by hand."""

import numpy as np
import pytest
import torch
from sklearn.metrics import balanced_accuracy_score, f1_score, top_k_accuracy_score

from scaling.training.figures import (
    calibration_error,
    confused_pairs,
    judge_classes,
    judge_labels,
    paired_difference,
)

NAMES = tuple("abcdefg")


@pytest.fixture(scope="module")
def answers() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(len(NAMES), (500,), generator=generator)
    logits = torch.randn(500, len(NAMES), generator=generator)
    logits[torch.arange(500), labels] += 1.5
    return logits, labels


def test_figures_are_scikit_learns(answers: tuple[torch.Tensor, torch.Tensor]) -> None:
    logits, labels = answers
    judged = judge_classes(logits, labels, NAMES)
    given = logits.argmax(1)
    value = {name: figure.value for name, figure in judged.figures.items()}
    assert value["accuracy"] == pytest.approx((given == labels).float().mean().item())
    assert value["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(labels, given))
    assert value["macro_f1"] == pytest.approx(f1_score(labels, given, average="macro"))
    assert value["top5_accuracy"] == pytest.approx(top_k_accuracy_score(labels, logits, k=5))
    assert list(judged.classes["recall"]) == pytest.approx(
        [(given[labels == k] == k).float().mean().item() for k in range(len(NAMES))]
    )
    assert judged.confusion is not None
    assert judged.confusion.sum() == 500


def test_an_interval_is_the_binomials(answers: tuple[torch.Tensor, torch.Tensor]) -> None:
    figure = judge_classes(*answers, NAMES).figures["accuracy"]
    half = 1.96 * np.sqrt(figure.value * (1 - figure.value) / 500)
    assert figure.value - figure.low == pytest.approx(half, rel=0.15)
    assert figure.high - figure.value == pytest.approx(half, rel=0.15)


def test_calibration_by_hand() -> None:
    # 4 of confidence 0.9 of which 3 are right, 1 of 0.5 that is wrong: (4·0.15 + 1·0.5) / 5.
    confidence = torch.tensor([0.9, 0.9, 0.9, 0.9, 0.5])
    right = torch.tensor([True, True, True, False, False])
    assert calibration_error(confidence, right) == pytest.approx(0.22, abs=1e-6)


def test_pairs_are_counted_either_way() -> None:
    table = confused_pairs(np.array([[9, 2, 0], [3, 9, 1], [0, 0, 9]]), ("x", "y", "z"))
    assert table.to_numpy().tolist() == [["x", "y", 5, 2], ["y", "z", 1, 1]]


def test_several_labels() -> None:
    logits = torch.tensor([[2.0, -1.0], [1.0, 1.0], [-2.0, 3.0], [-1.0, -1.0]])
    labels = torch.tensor([[1, 0], [1, 1], [0, 1], [0, 1]], dtype=torch.uint8)
    judged = judge_labels(logits, labels, ("x", "y"), 0.0)
    # Of y the last one is missed: precision 1, recall 2/3, and among the scores it is tied third.
    assert judged.figures["accuracy"].value == 0.75
    assert judged.figures["macro_f1"].value == pytest.approx((1 + 0.8) / 2)
    assert judged.figures["map"].value == pytest.approx((1 + (1 + 1 + 3 / 4) / 3) / 2)
    assert judged.confusion is None


def test_a_difference_in_pairs() -> None:
    one = np.ones(100)
    same = paired_difference(one, one)
    assert (same.value, same.low, same.high) == (0, 0, 0)
    other = one.copy()
    other[:20] = 0
    apart = paired_difference(one, other)
    assert apart.value == pytest.approx(0.2)
    assert 0.1 < apart.low < 0.2 < apart.high < 0.3
