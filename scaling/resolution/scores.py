"""How accurate a network with weights is at each size, on the same images."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from blocks.network import Network
from blocks.subject import Subject
from blocks.weights.fit import load_weights
from scaling.resolution.sizes import Size, own_size
from search.assess.statistics import Z, wilson
from search.data.batches import Batches, prepare, resize
from search.data.splits import ImageData, Split


@dataclass(frozen=True, slots=True)
class Score:
    """Accuracies at a size. `low` and `high`: Wilson's 95% interval of the test accuracy.

    `gain` is the test accuracy less that at the training resolution on the same images, with the
    95% interval of paired proportions.
    """

    val_accuracy: float
    test_accuracy: float
    low: float
    high: float
    gain: float
    gain_low: float
    gain_high: float


@dataclass(frozen=True, slots=True)
class Trained:
    """Mean accuracies of a network that was trained at a size; nan where all trainings failed."""

    val_accuracy: float
    test_accuracy: float


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


def judge(subject: Subject, data: ImageData, sizes: Sequence[Size]) -> list[Score]:
    """Accuracy at every size, with the normalisation of the training resolution."""
    assert subject.weights is not None
    network = Network(subject.arch, subject.num_classes)
    load_weights(network, subject.weights)
    network.eval()
    batches = prepare(data, subject.arch.resolution)
    right = [
        [_correct(network, batches, split, size.arch.resolution) for split in (data.val, data.test)]
        for size in sizes
    ]
    own = own_size(sizes)
    scores = []
    for val, test in right:
        gain, (low, high) = paired_gain(test, right[own][1])
        interval = wilson(float(test.mean()), len(test))
        if test is right[own][1]:
            low = high = 0.0
        scores.append(Score(float(val.mean()), float(test.mean()), *interval, gain, low, high))
    return scores


@torch.inference_mode()
def _correct(network: Network, batches: Batches, split: Split, side: int) -> NDArray[np.bool_]:
    """Which images of a split the network has right at a size; shape (images,)."""
    images = resize(split.images, side)
    answers = [network(batches.normalise(chunk)).argmax(1) for chunk in torch.split(images, 256)]
    found: NDArray[np.bool_] = (torch.cat(answers) == split.labels).numpy()
    return found
