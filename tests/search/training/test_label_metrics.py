"""Metrics of several labels: by hand, and against scikit-learn."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.metrics import accuracy_score, average_precision_score, f1_score

from search.config.schema import ProxyConfig
from search.data.augment import Augmentation, cut_and_mix
from search.training.label_metrics import (
    average_precision,
    best_threshold,
    f1_values,
    label_losses,
    macro_f1,
    mean_average_precision,
    precision_values,
    probability,
)
from search.training.loss import MOST_WEIGHT, label_weights, loss_of

# Two labels of four images. Of the first, places 1 and 3 are right: (1/1 + 2/3) / 2. Of the second
# all scores are equal, and one of four images has it.
SCORES = np.array([[4.0, 0.0], [3.0, 0.0], [2.0, 0.0], [1.0, 0.0]])
TRUTH = np.array([[1, 0], [0, 1], [1, 0], [0, 0]], np.uint8)


def drawn(seed: int, images: int = 40, labels: int = 5) -> tuple[NDArray[np.float64], ...]:
    """Scores, many of them equal, and truth; the last label is nobody's."""
    generator = np.random.default_rng(seed)
    truth = (generator.random((images, labels)) < 0.3).astype(np.uint8)
    truth[0], truth[:, -1] = 1, 0
    scores = np.round(truth + generator.normal(size=truth.shape), 1)
    return scores, truth


def test_average_precision_by_hand() -> None:
    assert average_precision(SCORES, TRUTH).tolist() == pytest.approx([5 / 6, 1 / 4])
    assert mean_average_precision(SCORES, TRUTH) == pytest.approx(13 / 24)


@settings(max_examples=20)
@given(st.integers(0, 10**6))
def test_average_precision_is_scikit_learns(seed: int) -> None:
    scores, truth = drawn(seed)
    theirs = [average_precision_score(truth[:, k], scores[:, k]) for k in range(4)]
    assert average_precision(scores, truth).tolist() == pytest.approx(theirs)


def test_a_label_that_nobody_has_does_not_count() -> None:
    truth = TRUTH.copy()
    truth[:, 1] = 0
    assert mean_average_precision(SCORES, truth) == pytest.approx(5 / 6)
    answers = SCORES > 1.5  # the first label of three images, two of them right
    assert macro_f1(answers, truth) == pytest.approx(2 * 2 / (3 + 2))
    assert mean_average_precision(SCORES, 0 * truth) == macro_f1(answers, 0 * truth) == 0


def test_the_threshold_by_hand() -> None:
    """One label: giving it to the first three is best, 2·2 / (3 + 2) above 2·1 / (1 + 2)."""
    assert best_threshold(SCORES[:, :1], TRUTH[:, :1]) == 1.5
    # Equal scores are given together: to none of the second label or to all.
    assert best_threshold(SCORES[:, 1:], TRUTH[:, 1:]) == -0.5
    assert probability(0.0) == 0.5


@settings(max_examples=20)
@given(st.integers(0, 10**6))
def test_no_other_threshold_is_better(seed: int) -> None:
    scores, truth = drawn(seed)
    chosen = best_threshold(scores, truth)
    reached = macro_f1(scores > chosen, truth)
    others = [macro_f1(scores > each, truth) for each in np.unique(scores) - 0.05]
    assert reached == pytest.approx(max(others))
    theirs = f1_score(truth[:, :4], scores[:, :4] > chosen, average="macro")
    assert reached == pytest.approx(theirs)


def weighted(
    metric: Callable[..., float], truth: NDArray[np.float64], found: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Of each image, the slope of scikit-learn's metric by its weight."""
    slopes, step = np.zeros(len(truth)), 1e-5
    for image in range(len(truth)):
        values = []
        for change in (step, -step):
            weights = np.ones(len(truth))
            weights[image] += change
            own = [metric(truth[:, k], found[:, k], sample_weight=weights) for k in range(4)]
            values.append(np.mean(own))
        slopes[image] = (values[0] - values[1]) / (2 * step)
    return slopes


def test_what_each_image_adds_is_the_slope_by_its_weight() -> None:
    scores, truth = drawn(1, images=12)
    values = precision_values(scores, truth)
    assert values.mean() == pytest.approx(mean_average_precision(scores, truth))
    slopes = weighted(average_precision_score, truth, scores)
    assert (values - values.mean()) / len(values) == pytest.approx(slopes, abs=1e-8)
    answers = scores > best_threshold(scores, truth)
    values = f1_values(answers, truth)
    assert values.mean() == pytest.approx(macro_f1(answers, truth))
    slopes = weighted(f1_score, truth, answers)
    assert (values - values.mean()) / len(values) == pytest.approx(slopes, abs=1e-8)
    right = (answers == truth).all(1).mean()
    assert right == pytest.approx(accuracy_score(truth, answers))


def test_the_loss_by_hand() -> None:
    """Logits 0 are probabilities of one half: log 2 each. A logit of log 3 is one of 3/4."""
    logits = torch.tensor([[0.0, float(np.log(3))], [0.0, 0.0]])
    labels = torch.tensor([[1, 1], [0, 1]], dtype=torch.uint8)
    image = (np.log(2) - np.log(3 / 4)) / 2
    assert label_losses(logits, labels).tolist() == pytest.approx([image, np.log(2)])
    for proxy in (ProxyConfig(), ProxyConfig(label_smoothing=0.3)):
        found = loss_of(proxy, labels, 2, "cpu")(logits, labels)
        assert found.item() == pytest.approx((image + np.log(2)) / 2)


def test_rare_labels_weigh_more_in_the_loss() -> None:
    labels = torch.zeros(100, 4, dtype=torch.uint8)
    labels[:50, 0], labels[:10, 1], labels[:1, 2] = 1, 1, 1
    assert label_weights(labels).tolist() == [1, 9, MOST_WEIGHT, MOST_WEIGHT]
    loss = loss_of(ProxyConfig(class_weights="balanced"), labels, 4, "cpu")
    # All answers one half: both sides of a label weigh as much, but for the two that are capped.
    found = loss(torch.zeros(100, 4), labels).item()
    expected = np.log(2) * (50 + 50 + 90 + 90 + 20 + 99 + 100) / 400
    assert found == pytest.approx(expected)


def test_mixed_images_have_mixed_labels() -> None:
    images = torch.stack([torch.zeros(1, 4, 4), torch.ones(1, 4, 4)])
    labels = torch.tensor([[1, 1, 0], [0, 1, 0]], dtype=torch.uint8)
    generator = torch.Generator().manual_seed(0)
    mixed, found = cut_and_mix(images, labels, 3, Augmentation(mixup=1.0), generator)
    share = 1 - mixed[0, 0, 0, 0].item()
    assert 0 < share < 1
    assert found[0].tolist() == pytest.approx([share, 1, 0])
    assert found[1].tolist() == pytest.approx([1 - share, 1, 0])
