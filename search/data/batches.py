"""Batches: a data set at one resolution, normalised, shuffled and augmented."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor

from blocks.arch import Size, size_from
from search.data.augment import Augmentation, augment, cut_and_mix
from search.data.resized import resize, splits_at
from search.data.splits import ImageData, Split
from search.data.streamed import exact_moments


def shrink(images: Tensor, size: Size | int) -> Tensor:
    """float (N, C, H, W) → float (N, C, *size), antialiased bilinear."""
    size = size_from(size)
    if tuple(images.shape[2:]) == size:
        return images
    return F.interpolate(images, tuple(size), mode="bilinear", antialias=True)


PREPARED: Final = 4
"""Sizes that a process keeps its images at."""
COUNTED: Final = 2**14
"""Images whose pixels are counted at a time."""


@dataclass(frozen=True)
class Batches:
    """Splits at one resolution, normalised by the training split's own mean and deviation.

    Images lie in channels-last memory, so that batches need no other.
    """

    train: Split
    val: Split
    test: Split
    mean: Tensor
    std: Tensor

    @property
    def moments(self) -> tuple[list[float], list[float]]:
        """Mean and deviation per channel that images are normalised by, of pixels in 0…1."""
        return (self.mean.flatten() / 255).tolist(), (self.std.flatten() / 255).tolist()

    def normalise(self, images: Tensor) -> Tensor:
        """uint8 (N, C, H, W) → float32 in channels-last memory, mean 0 and deviation 1."""
        count, channels, height, width = images.shape
        # Lines as long as an image, for which channels-last images are not copied first.
        mean, std = (moment.flatten().repeat(height * width) for moment in (self.mean, self.std))
        pixels = images.permute(0, 2, 3, 1).contiguous().view(count, -1)
        scaled = pixels.float().sub_(mean).div_(std)
        if channels == 1:  # both layouts are the same: the strides that convolutions know best
            return scaled.view(images.shape)
        return scaled.view(count, height, width, channels).permute(0, 3, 1, 2)

    def shuffled(
        self,
        batch_size: int,
        augmentation: Augmentation,
        num_classes: int,
        generator: torch.Generator,
        balanced: bool = False,
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """One epoch of augmented training batches; a last batch below batch_size is dropped
        unless it is the only one. Labels are the split's, or float (N, num_classes) if mixed.

        The epoch has every image once, or `weighted_order` where they have weights, or
        `balanced_order`.
        """
        order = self.order(generator, balanced)
        for chosen in torch.split(order, batch_size):
            if len(chosen) < min(batch_size, len(order)):
                return
            yield self.batch(chosen, augmentation, num_classes, generator)

    def order(self, generator: torch.Generator, balanced: bool = False) -> Tensor:
        """The training images of an epoch, by number, as `shuffled` says."""
        if self.train.weights is not None:
            return weighted_order(self.train.weights, generator)
        if balanced:
            return balanced_order(self.train.labels, generator)
        return torch.randperm(len(self.train), generator=generator)

    def batch(
        self,
        chosen: Tensor,
        augmentation: Augmentation,
        num_classes: int,
        generator: torch.Generator,
    ) -> tuple[Tensor, Tensor]:
        """These training images, augmented, and their labels, as `shuffled` gives them."""
        # index_select copies whole images where indexing copies bytes: some 20 times faster.
        pixels = self.train.images.permute(0, 2, 3, 1)
        images = pixels.index_select(0, chosen).permute(0, 3, 1, 2)
        labels = self.train.labels[chosen]
        return self.augmented(images, labels, augmentation, num_classes, generator)

    def augmented(
        self,
        images: Tensor,
        labels: Tensor,
        augmentation: Augmentation,
        num_classes: int,
        generator: torch.Generator,
    ) -> tuple[Tensor, Tensor]:
        """uint8 (N, C, H, W) and labels as a batch, as `shuffled` gives them."""
        images = self.normalise(augment(images, augmentation, generator))
        return cut_and_mix(images, labels, num_classes, augmentation, generator)


def balanced_order(labels: Tensor, generator: torch.Generator) -> Tensor:
    """Rows of as many images as there are, in random order, of each class as many as of any other
    (±1, at random); of a class every image is taken as often as any other (±1, at random).

    Classes without images are left out.
    """
    classes = torch.bincount(labels).nonzero().flatten().tolist()
    each, more = divmod(len(labels), len(classes))
    extra = set(torch.randperm(len(classes), generator=generator)[:more].tolist())
    parts = []
    for place, number in enumerate(classes):
        wanted = each + (place in extra)
        members = (labels == number).nonzero().flatten()
        rounds = -(-wanted // len(members))
        # Whole permutations of the class, one after the other.
        turns = torch.rand((rounds, len(members)), generator=generator).argsort(1)
        parts.append(members[turns.flatten()[:wanted]])
    rows = torch.cat(parts)
    return rows[torch.randperm(len(rows), generator=generator)]


def weighted_order(weights: Tensor, generator: torch.Generator) -> Tensor:
    """Rows of as many images as there are, in random order: each as often as its share of the
    weights makes it, rounded up or down at random (systematic sampling, Madow 1949)."""
    order = torch.randperm(len(weights), generator=generator)
    ends = (weights[order] / weights.sum() * len(weights)).cumsum(0)
    ends[-1] = len(weights)  # whatever rounding left
    start = torch.rand((), generator=generator, dtype=torch.float64)
    until = (ends + start).floor().long()
    rows = order.repeat_interleave(until.diff(prepend=until.new_zeros(1)))
    return rows[torch.randperm(len(rows), generator=generator)]


def prepare(data: ImageData, size: Size | int) -> Batches:
    """`data` at `size` pixels; cached, since candidates share a size."""
    if data.train.files is not None:
        return _normalised(*splits_at(data, size))
    return _prepare(_ById(data), size_from(size))


def prepare_folds(data: ImageData, size: Size | int) -> tuple[Batches, ...]:
    """`data` at `size` pixels with each of its folds as val and the others as train; without
    folds as it is, once; cached.

    All are views of the same images: a ring, the folds in order and all but the last once more, of
    which each has a stretch, so that processes share them.
    """
    return (prepare(data, size),) if data.folds is None else _folds(_ById(data), size_from(size))


def normalisation(data: ImageData, size: Size | int) -> tuple[list[float], list[float]]:
    """Mean and deviation per channel that `prepare` normalises by, of pixels in 0…1."""
    return prepare(data, size).moments


class _ById:
    """Hashable handle of a data set: two loads of one set are one key."""

    def __init__(self, data: ImageData) -> None:
        self.data = data

    def __hash__(self) -> int:
        return hash(self.data.sha256)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, _ById)
            and other.data.sha256 == self.data.sha256
            and other.data.train.images.shape == self.data.train.images.shape
            and other.data.reading == self.data.reading
        )


@lru_cache(maxsize=PREPARED)
def _prepare(handle: _ById, size: Size) -> Batches:
    return _normalised(*splits_at(handle.data, size))


def _normalised(train: Split, val: Split, test: Split) -> Batches:
    if train.files is not None:
        moments = train.files.moments()
    else:
        moments = [_moments(plane) for plane in train.images.unbind(1)]
    mean, std = torch.tensor(moments, dtype=torch.float32).T.reshape(2, 1, -1, 1, 1)
    return Batches(train, val, test, mean, std.clamp_min(1e-3))


@lru_cache(maxsize=PREPARED)
def _folds(handle: _ById, size: Size) -> tuple[Batches, ...]:
    data = handle.data
    assert data.folds is not None
    train = data.train.with_images(resize(data.train.images, size))
    parts = [
        data.val.with_images(resize(data.val.images, size)),
        *(
            train.rows((data.folds == fold).nonzero().flatten())
            for fold in range(1, int(data.folds.max()) + 1)
        ),
    ]
    ring = [*parts, *parts[:-1]]
    # Concatenated as they lie in memory, channels last.
    images = torch.cat([part.images.permute(0, 2, 3, 1) for part in ring]).permute(0, 3, 1, 2)
    whole_ring = Split(
        images,
        torch.cat([part.labels for part in ring]),
        None if train.weights is None else torch.cat([part.weights for part in ring]),  # type: ignore[misc]
    )
    whole = sum(map(len, parts))
    test = data.test.with_images(resize(data.test.images, size))
    found, start = [], 0
    for part in parts:
        end = start + len(part)
        held, others = whole_ring.between(start, end), whole_ring.between(end, start + whole)
        found.append(_normalised(others, held, test))
        start = end
    return tuple(found)


def _moments(plane: Tensor) -> tuple[float, float]:
    """Mean and deviation of uint8 pixels, exact and without a float copy: by histogram."""
    counts = torch.zeros(256, dtype=torch.float64)
    for some in torch.split(plane, COUNTED):
        counts += torch.bincount(some.flatten(), minlength=256)
    values = list(enumerate(map(int, counts.tolist())))
    total = sum(value * count for value, count in values)
    squares = sum(value**2 * count for value, count in values)
    return exact_moments(plane.numel(), total, squares)
