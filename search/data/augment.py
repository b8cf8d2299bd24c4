"""Batched augmentation of training images; everything is drawn from one generator.

In this order: flip, crop and `rand_augment` on bytes; then normalisation; then cutout, and MixUp
or CutMix, on normalised values, where 0 is the mean of the training images.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from search.data.rand_augment import rand_augment, replace_rows


@dataclass(frozen=True)
class Augmentation:
    """What is done to a training batch; 0 is off, for each.

    `crop_padding` and `cutout` (the side of the square) are pixels, `rand_augment` a magnitude up
    to 10, `mixup` and `cutmix` the α of Beta(α, α).
    """

    flip: bool = False
    crop_padding: int = 0
    rand_augment: float = 0.0
    cutout: int = 0
    mixup: float = 0.0
    cutmix: float = 0.0


def augment(images: Tensor, augmentation: Augmentation, generator: torch.Generator) -> Tensor:
    """What is done to the pixels: uint8 (N, C, H, W) stays so, in channels-last memory."""
    pixels = images.permute(0, 2, 3, 1).contiguous()
    if augmentation.flip:
        mirrored = torch.rand(len(pixels), generator=generator) < 0.5
        pixels = replace_rows(pixels, mirrored.nonzero().flatten(), lambda some, _: some.flip(2))
    if augmentation.crop_padding:
        pixels = _crop(pixels, augmentation.crop_padding, generator)
    if augmentation.rand_augment:
        pixels = rand_augment(pixels, augmentation.rand_augment / 10, generator)
    return pixels.permute(0, 3, 1, 2)


def cut_and_mix(
    images: Tensor,
    labels: Tensor,
    num_classes: int,
    augmentation: Augmentation,
    generator: torch.Generator,
) -> tuple[Tensor, Tensor]:
    """What is done to a normalised batch, in its own memory: cutout, and MixUp or CutMix.

    Float (N, C, H, W), and labels int64 (N,) or, of 0 and 1, (N, num_classes); a mixed batch has
    float labels (N, num_classes). Of MixUp and CutMix, where both are on, each batch gets one, with
    equal chances.
    """
    if augmentation.cutout:
        _cutout(images, augmentation.cutout, generator)
    if not (augmentation.mixup or augmentation.cutmix):
        return images, labels
    paste = augmentation.cutmix > 0
    if augmentation.mixup and augmentation.cutmix:
        paste = torch.rand((), generator=generator).item() < 0.5
    share = _beta(augmentation.cutmix if paste else augmentation.mixup, generator)
    # The batch is a random draw, so each image's neighbour is a random partner.
    if paste:
        share = _paste_neighbour(images, share, generator)
    else:
        images.lerp_(images.roll(1, 0), 1 - share)
    hard = labels if labels.ndim == 2 else F.one_hot(labels, num_classes)
    hard = hard.to(images.dtype)
    return images, hard.lerp(hard.roll(1, 0), 1 - share)


def _crop(pixels: Tensor, padding: int, generator: torch.Generator) -> Tensor:
    """A window of each image, padded with zeros, at a place of its own; (N, H, W, C) stays."""
    count, height, width, channels = pixels.shape
    padded = F.pad(pixels, (0, 0, padding, padding, padding, padding))
    row = width + 2 * padding
    shift = torch.randint(0, 2 * padding + 1, (2, count), generator=generator)
    corner = (torch.arange(count) * (height + 2 * padding) + shift[0]) * row + shift[1]
    # A line of a window is one run of bytes, and is copied as such.
    starts = (corner[:, None] + torch.arange(height) * row).flatten() * channels
    runs = padded.flatten().unfold(0, width * channels, 1)
    return runs.index_select(0, starts).view(pixels.shape)


def _cutout(images: Tensor, side: int, generator: torch.Generator) -> None:
    """A square of zeros in each image, its centre anywhere (DeVries & Taylor 2017, §3)."""
    height, width = images.shape[2:]
    top = torch.randint(0, height, (len(images),), generator=generator) - side // 2
    left = torch.randint(0, width, (len(images),), generator=generator) - side // 2
    # Views of NumPy: a masked fill reads and writes every value.
    array = images.numpy()
    for image, (y, x) in enumerate(zip(top.tolist(), left.tolist(), strict=True)):
        array[image, :, max(0, y) : y + side, max(0, x) : x + side] = 0


def _beta(alpha: float, generator: torch.Generator) -> float:
    """A draw of Beta(α, α), by the inverse of its distribution function."""
    from scipy.special import betaincinv  # a training without MixUp has no use for SciPy

    point = torch.rand((), generator=generator, dtype=torch.float64).item()
    return float(betaincinv(alpha, alpha, point))


def _paste_neighbour(images: Tensor, share: float, generator: torch.Generator) -> float:
    """One rectangle of each image from its neighbour; the share of pixels left (CutMix, §3.1)."""
    height, width = images.shape[2:]
    y = int(torch.randint(0, height, (), generator=generator))
    x = int(torch.randint(0, width, (), generator=generator))
    tall, wide = (int(side * math.sqrt(1 - share)) for side in (height, width))
    top, left = max(0, y - tall // 2), max(0, x - wide // 2)
    bottom, right = min(height, y - tall // 2 + tall), min(width, x - wide // 2 + wide)
    box = images[:, :, top:bottom, left:right]
    box.copy_(box.roll(1, 0))
    return 1 - (bottom - top) * (right - left) / (height * width)
