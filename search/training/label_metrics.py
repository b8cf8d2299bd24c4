"""How good answers of several labels an image are: average precision, F1 at a threshold, and what
each image adds to them.

Scores and truth are (images, labels): the more sure, the greater the score; 1 where an image has
the label. A label that no image has does not count.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from search.training.metrics import Reached

Array = NDArray[np.float64]
Scored = NDArray[np.floating]
Truth = NDArray[np.integer] | NDArray[np.bool_]


@dataclass(frozen=True)
class LabelScores(Reached):
    """What a network reaches on a split of images with several labels: fractions, and `loss`, the
    mean binary cross-entropy over images and labels, in nats.

    `map` is the mean over labels of their average precision, `macro_f1` that of their F1 at
    `threshold`, a probability. `accuracy`: of the images the share of which every label is right at
    it (scikit-learn's `accuracy_score` of several labels).
    """

    accuracy: float
    loss: float
    map: float
    macro_f1: float
    threshold: float


def average_precision(scores: Scored, truth: Truth) -> Array:
    """(present labels,): of each the mean over the images that have it of the precision among all
    that are scored as high or higher; images of equal scores are taken together.

    What scikit-learn's `average_precision_score` gives.
    """
    return np.array([_precision(*each).average for each in _present(scores, truth)])


def mean_average_precision(scores: Scored, truth: Truth) -> float:
    """mAP; 0 where no image has any label."""
    found = average_precision(scores, truth)
    return float(found.mean()) if len(found) else 0.0


def precision_values(scores: Scored, truth: Truth) -> Array:
    """(images,): values whose mean is the mAP, and which vary over images as that does: it and N
    times each image's influence on it (the infinitesimal jackknife; Efron, "The jackknife, the
    bootstrap and other resampling plans", 1982, ch. 6).

    With a weight for each image, the average precision of P images that have a label is
    Σ yᵢ wᵢ pᵢ / Σ yᵢ wᵢ, and pᵢ the share that has it of the weight scored as high as i. Its
    derivative by the weight of k, where all are 1, is
    (yₖ (pₖ − AP) + Σ yᵢ (yₖ − pᵢ) / nᵢ) / P, the sum being over those scored as low as k, and nᵢ
    the number of those scored as high as i.
    """
    images = len(truth)
    values, reached = np.zeros(images), []
    for own, known in _present(scores, truth):
        found = _precision(own, known)
        shares = found.known / found.above
        by_own = _from(found, shares)
        by_precision = _from(found, shares * found.precision)
        moved = found.known * (found.precision - found.average)
        moved += found.known * by_own - by_precision
        values[found.order] += moved / found.known.sum()
        reached.append(found.average)
    if not reached:
        return values
    return np.asarray(np.mean(reached) + images * values / len(reached))


def macro_f1(answers: Truth, truth: Truth) -> float:
    """The mean over present labels of 2·both / (answered + true); 0 where there is none."""
    both, whole = (answers * truth).sum(0), answers.sum(0) + truth.sum(0)
    present = truth.sum(0) > 0
    return float((2 * both[present] / whole[present]).mean()) if present.any() else 0.0


def f1_values(answers: Truth, truth: Truth) -> Array:
    """(images,): values whose mean is the macro F1 of answers of 0 and 1, and which vary over
    images as that does, as `precision_values` do. An image that has the label, or is given it,
    moves its F1 by (2·both − F1·(true + given)) / (all true + all given); the threshold stays."""
    present = truth.sum(0) > 0
    true, given = truth[:, present].astype(float), answers[:, present].astype(float)
    if not present.any():
        return np.zeros(len(truth))
    whole = true.sum(0) + given.sum(0)
    reached = 2 * (true * given).sum(0) / whole
    moved = ((2 * true * given - reached * (true + given)) / whole).mean(1)
    return np.asarray(reached.mean() + len(truth) * moved)


def best_threshold(scores: Scored, truth: Truth) -> float:
    """The score from which a label is given, one for all labels: where the macro F1 is greatest.

    One and not one for each label: of a label that few images have, the best threshold is mostly
    chance. It lies halfway to the next lower score; of equally good ones it is the highest.
    """
    present = np.asarray(truth).sum(0) > 0
    if not present.any():
        return 0.0
    own, known = np.asarray(scores)[:, present].astype(float), np.asarray(truth)[:, present]
    order = np.argsort(-own, axis=0, kind="stable")
    both = np.take_along_axis(known, order, 0).cumsum(0)
    given = np.arange(1, len(own) + 1)[:, None]
    f1 = 2 * both / (given + known.sum(0))
    gains = np.diff(f1, axis=0, prepend=0.0).ravel()
    each = np.take_along_axis(own, order, 0).ravel()
    down = np.argsort(-each, kind="stable")
    each, reached = each[down], gains[down].cumsum()
    last = np.append(each[1:] < each[:-1], True)  # those of equal scores are given together
    places = np.flatnonzero(last)
    place = int(places[_first_best(reached[places])])
    following = each[place + 1] if place + 1 < len(each) else each[place] - 1
    return float((each[place] + following) / 2)


def _first_best(values: Array) -> int:
    """The first of those that are equal to the greatest but for rounding."""
    return int(np.flatnonzero(values >= values.max() - 1e-12)[0])


def probability(score: float) -> float:
    """Of a logit."""
    return float(torch.sigmoid(torch.tensor(score, dtype=torch.float64)))


def label_losses(logits: Tensor, labels: Tensor) -> Tensor:
    """(images,): the mean over labels of the binary cross-entropy, in nats."""
    return torch.nn.functional.binary_cross_entropy_with_logits(
        logits.float(), labels.float(), reduction="none"
    ).mean(1)


@dataclass(frozen=True)
class _Precision:
    """Images by score, the greatest first: their `order`, whether they have the label, how many are
    scored as high or higher (`above`), which share of these has it, and where those of an equal
    score begin (`first`)."""

    order: NDArray[np.int64]
    known: Array
    above: Array
    precision: Array
    first: NDArray[np.int64]

    @property
    def average(self) -> float:
        return float(self.known @ self.precision / self.known.sum())


def _precision(scores: Scored, known: Truth) -> _Precision:
    order = np.argsort(-scores, kind="stable")
    down = scores[order]
    true = known[order].astype(float)
    ends = np.append(np.flatnonzero(down[1:] < down[:-1]), len(down) - 1)
    tie = np.searchsorted(ends, np.arange(len(down)))  # which group of equal scores each is in
    above = (ends + 1.0)[tie]
    precision = (true.cumsum()[ends] / (ends + 1))[tie]
    first = np.concatenate([[0], ends[:-1] + 1])[tie]
    return _Precision(order, true, above, precision, first)


def _from(found: _Precision, values: Array) -> Array:
    """Of each image the sum of the values of those scored as low or lower."""
    return np.asarray(values[::-1].cumsum()[::-1][found.first])


def _present(scores: Scored, truth: Truth) -> list[tuple[Scored, Truth]]:
    """Of each label that any image has, its scores and truth."""
    return [
        (own, known)
        for own, known in zip(np.asarray(scores).T, np.asarray(truth).T, strict=True)
        if known.any()
    ]
