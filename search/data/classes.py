"""How many images each class has, and what that means."""

from dataclasses import dataclass
from typing import Final

import torch

from blocks.names import few
from search.config.quality import Quality
from search.config.schema import RunConfig
from search.data.splits import ImageData, Split

UNEQUAL: Final = 3.0
"""Times as many images as the smallest class that the largest has, above which it is said."""


def images_by_class(split: Split, num_classes: int) -> list[int]:
    """Images of each class; of several labels, those that have each."""
    if split.labels.ndim == 2:
        counted: list[int] = split.labels.sum(0, dtype=torch.int64).tolist()
        return counted
    found: list[int] = torch.bincount(split.labels, minlength=num_classes).tolist()
    return found


def worth(quality: Quality, split: Split) -> int:
    """How many images a quality on this split is as surely known as, were its classes equal.

    Where each class counts alike, the error of a mean over K classes of n images is that of
    K² / Σ 1/n images: few images of one class are few of all. (Of macro F1 about.) Of several
    labels an average precision is known about as surely as a share of the n images with the label
    (Boyd et al., "Area under the precision-recall curve", 2013), and their mean likewise, but
    no more surely than a share of all images.
    """
    if split.labels.ndim == 2:
        having = split.labels.sum(0, dtype=torch.float64)
        having = having[having > 0]
        tells = len(having) ** 2 / float((1 / having).sum()) if len(having) else 1
        return max(1, min(len(split), round(tells)))
    if not quality.balanced:
        return len(split)
    images = torch.bincount(split.labels)
    images = images[images > 0].double()
    return max(1, round(float(len(images) ** 2 / (1 / images).sum())))


def describe_classes(config: RunConfig, data: ImageData) -> list[str]:
    """That classes are of very different size or lack images to judge on, if so, and what is for
    that."""
    return [*_unequal(config, data), *describe_absent(data)]


def describe_absent(data: ImageData) -> list[str]:
    """That val or test has no image of some classes."""
    what = "labels" if data.several else "classes"
    lines = []
    for part, split, then in (
        ("val", data.val, "a network that never answers them seems better than it is"),
        ("test", data.test, "its accuracy says nothing of them"),
    ):
        images = images_by_class(split, data.num_classes)
        absent = [name for name, own in zip(data.classes, images, strict=True) if not own]
        if absent:
            lines.append(
                f"warning: {len(absent)} of {data.num_classes} {what} have no {part} image "
                f"({few(absent)}): {then}"
            )
    return lines


def _unequal(config: RunConfig, data: ImageData) -> list[str]:
    what = "labels" if data.several else "classes"
    images = images_by_class(data.train, data.num_classes)
    least, most = min(images), max(images)
    if most <= UNEQUAL * least:
        return []
    smallest, largest = (data.classes[images.index(number)] for number in (least, most))
    line = f"{what}: {least:,} ({smallest}) to {most:,} ({largest}) training images"
    left = []
    if not config.quality.balanced and not data.several:
        left.append("search.metric=balanced_accuracy")
    if config.proxy.class_weights == "none" and not config.proxy.balanced_batches:
        left.append("proxy.class_weights=balanced")
    if not left:
        return [line]
    return [f"{line}; {' and '.join(left)} count{'' if len(left) > 1 else 's'} {what} alike"]


@dataclass(frozen=True)
class Majority:
    """A class that more than half of the test images have; `reached` by always answering it.

    `images`: how many of equal classes would tell as much as the test images do (see `worth`).
    """

    name: str
    reached: float
    images: int


def majority_of(data: ImageData, quality: Quality) -> Majority | None:
    """The class that more than half of the test images have, if there is one; of several labels
    there is no such answer."""
    if data.several:
        return None
    images = images_by_class(data.test, data.num_classes)
    share = max(images) / len(data.test)
    if share <= 0.5:
        return None
    present = sum(number > 0 for number in images)
    reached = {
        "accuracy": share,
        "balanced_accuracy": 1 / present,
        "macro_f1": 2 * share / (1 + share) / present,
    }
    name = data.classes[images.index(max(images))]
    return Majority(name, reached[quality.name], worth(quality, data.test))
