"""What a trained network is judged by: by hand, and as scikit-learn has it."""

import numpy as np
import pytest
import torch
from sklearn.metrics import (
    average_precision_score,
    balanced_accuracy_score,
    f1_score,
    log_loss,
    precision_score,
    recall_score,
)

from scaling.judging import (
    calibration_error,
    confused_pairs,
    judge_classes,
    judge_labels,
    paired_difference,
)


def test_one_class_for_each_image_is_judged_as_scikit_learn_does() -> None:
    generator = np.random.default_rng(0)
    truth = generator.integers(6, size=300)
    logits = generator.normal(size=(300, 6)) + 2 * np.eye(6)[truth]
    names = tuple("abcdef")
    found = judge_classes(torch.from_numpy(logits), torch.from_numpy(truth), names, samples=50)
    answers = logits.argmax(1)
    values = {name: figure.value for name, figure in found.figures.items()}
    chances = torch.from_numpy(logits).softmax(1).numpy()
    assert values["accuracy"] == pytest.approx((answers == truth).mean())
    assert values["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(truth, answers))
    assert values["macro_f1"] == pytest.approx(f1_score(truth, answers, average="macro"))
    assert values["loss"] == pytest.approx(log_loss(truth, chances), abs=1e-6)
    for column, score in (("precision", precision_score), ("recall", recall_score)):
        assert found.classes[column].tolist() == pytest.approx(
            score(truth, answers, average=None).tolist()
        )
    for figure in found.figures.values():
        assert figure.low <= figure.high
    assert found.figures["accuracy"].low < values["accuracy"] < found.figures["accuracy"].high
    assert found.confusion is not None
    assert found.confusion.sum() == 300


def test_several_labels_are_judged_as_scikit_learn_does() -> None:
    generator = np.random.default_rng(1)
    truth = (generator.random((200, 3)) < 0.3).astype(np.uint8)
    logits = generator.normal(size=(200, 3)) + 1.5 * truth
    found = judge_labels(
        torch.from_numpy(logits), torch.from_numpy(truth), tuple("abc"), 0.2, samples=20
    )
    assert found.figures["map"].value == pytest.approx(
        average_precision_score(truth, logits, average="macro")
    )
    answers = logits > 0.2
    assert found.figures["macro_f1"].value == pytest.approx(
        f1_score(truth, answers, average="macro")
    )
    assert found.figures["accuracy"].value == pytest.approx((answers == truth).all(1).mean())
    assert found.confusion is None


def test_calibration_by_hand() -> None:
    """Four answers of 0.75, half of them right, and one of 1 that is right: 4/5 are 0.25 off."""
    confidence = torch.tensor([0.75, 0.75, 0.75, 0.75, 1.0])
    right = torch.tensor([True, True, False, False, True])
    assert calibration_error(confidence, right) == pytest.approx(0.8 * 0.25)


def test_a_difference_on_the_same_images() -> None:
    one, other = np.ones(40), np.array([1.0] * 30 + [0.0] * 10)
    found = paired_difference(one, other)
    assert found.value == pytest.approx(0.25)
    assert 0.1 < found.low < 0.25 < found.high < 0.4
    assert paired_difference(one, one).high == 0


def test_an_interval_is_the_binomials() -> None:
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(7, (500,), generator=generator)
    logits = torch.randn(500, 7, generator=generator)
    logits[torch.arange(500), labels] += 1.5
    figure = judge_classes(logits, labels, tuple("abcdefg")).figures["accuracy"]
    half = 1.96 * np.sqrt(figure.value * (1 - figure.value) / 500)
    assert figure.value - figure.low == pytest.approx(half, rel=0.15)
    assert figure.high - figure.value == pytest.approx(half, rel=0.15)


def test_pairs_are_counted_either_way() -> None:
    table = confused_pairs(np.array([[9, 2, 0], [3, 9, 1], [0, 0, 9]]), ("x", "y", "z"))
    assert table.to_numpy().tolist() == [["x", "y", 5, 2], ["y", "z", 1, 1]]
