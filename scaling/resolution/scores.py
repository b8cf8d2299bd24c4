"""How accurate a network with weights is at each size, on the same images."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from blocks.arch import Size
from blocks.network import Network
from blocks.subject import Subject
from blocks.weights.fit import load_weights
from scaling.resolution.sizes import Resized, own_size
from search.assess.statistics import Z, wilson
from search.config.quality import ACCURACY, Quality
from search.data.batches import Batches, prepare
from search.data.classes import worth
from search.data.resized import resize
from search.data.splits import ImageData, Split
from search.study.race import image_covariance, quality_values
from search.training.label_metrics import best_threshold


@dataclass(frozen=True, slots=True)
class Score:
    """Accuracies at a size, or what else the study is judged by. `low` and `high`: Wilson's 95%
    interval of that of the test images.

    `gain` is the test accuracy less that at the training resolution on the same images, with the
    95% interval of paired proportions.
    """

    val: float
    test: float
    low: float
    high: float
    gain: float
    gain_low: float
    gain_high: float


@dataclass(frozen=True, slots=True)
class Trained:
    """Means of a network that was trained at a size; nan where all trainings failed."""

    val: float
    test: float


def paired_gain(
    first: NDArray[np.bool_], second: NDArray[np.bool_]
) -> tuple[float, tuple[float, float]]:
    """Share that `first` has right less `second`'s on the same images, with its 95% interval.

    Agresti and Min's (2005) of matched proportions: half an image is added to each of the four
    cells, which keeps it honest where few images differ.
    """
    images = len(first)
    won, lost = int((first & ~second).sum()), int((second & ~first).sum())
    more, less, whole = won + 0.5, lost + 0.5, images + 2
    centre = (more - less) / whole
    margin = Z * math.sqrt(max(0.0, more + less - (more - less) ** 2 / whole)) / whole
    return (won - lost) / images, (centre - margin, centre + margin)


def paired_lead(
    first: NDArray[np.float64], second: NDArray[np.float64], labels: NDArray[np.int64] | None
) -> tuple[float, tuple[float, float]]:
    """`paired_gain` of values whose mean is a balanced metric (`quality_values`), with a normal
    interval: images are drawn anew within their classes, or among all of them without `labels`."""
    values = np.stack([first, second])
    covariance = image_covariance(values, labels)
    error = math.sqrt(max(0.0, covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]))
    gain = float(first.mean() - second.mean())
    return gain, (gain - Z * error, gain + Z * error)


def judge(
    subject: Subject, data: ImageData, sizes: Sequence[Resized], quality: Quality = ACCURACY
) -> list[Score]:
    """What is reached at every size, with the normalisation of the training resolution."""
    assert subject.weights is not None
    network = Network(subject.arch, subject.num_classes)
    load_weights(network, subject.weights)
    network.eval()
    batches = prepare(data, subject.arch.image)
    right = []
    for size in sizes:
        image = size.arch.image
        if data.several:
            right.append(_label_values(network, batches, data, image, quality))
            continue
        right.append(
            [_values(network, batches, each, image, quality) for each in (data.val, data.test)]
        )
    own = own_size(sizes)
    images, labels = worth(quality, data.test), data.test.labels.numpy()
    scores = []
    for val, test in right:
        if quality.balanced or data.several:
            within = None if data.several else labels
            gain, (low, high) = paired_lead(test, right[own][1], within)
        else:
            gain, (low, high) = paired_gain(test > 0, right[own][1] > 0)
        reached = float(np.clip(test.mean(), 0, 1))
        interval = wilson(reached, images)
        if test is right[own][1]:
            low = high = 0.0
        scores.append(Score(float(val.mean()), reached, *interval, gain, low, high))
    return scores


@torch.inference_mode()
def _values(
    network: Network, batches: Batches, split: Split, size: Size, quality: Quality
) -> NDArray[np.float64]:
    """Of the images of a split at a size, (images,), what each adds to a quality: 1 where the
    network has it right and accuracy is asked for."""
    answers = _logits(network, batches, split, size).argmax(1)
    right = (answers == split.labels).numpy()
    return quality_values(quality, right, answers.numpy(), split.labels.numpy())


@torch.inference_mode()
def _label_values(
    network: Network, batches: Batches, data: ImageData, size: Size, quality: Quality
) -> list[NDArray[np.float64]]:
    """Likewise of the val and the test images of several labels, which are given from the
    threshold that is best on val at this size."""
    splits = data.val, data.test
    scores = [_logits(network, batches, split, size).numpy() for split in splits]
    known = [split.labels.numpy() for split in splits]
    threshold = best_threshold(scores[0], known[0])
    answers = [each > threshold for each in scores]
    return [
        quality_values(quality, (given == true).all(1), given.astype(np.int64), true, each)
        for given, true, each in zip(answers, known, scores, strict=True)
    ]


def _logits(network: Network, batches: Batches, split: Split, size: Size) -> torch.Tensor:
    images = resize(split.images, size)
    return torch.cat([network(batches.normalise(chunk)) for chunk in torch.split(images, 256)])
