"""Batched augmentation of training images; everything is drawn from one generator.

In this order: flip, crop and `rand_augment` on bytes; then normalisation; then cutout, and MixUp
or CutMix, on normalised values, where 0 is the mean of the training images.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import torch
import torch.nn.functional as F
from scipy.special import betaincinv
from torch import Tensor


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
        pixels = _replace(pixels, mirrored.nonzero().flatten(), lambda some, _: some.flip(2))
    if augmentation.crop_padding:
        pixels = _crop(pixels, augmentation.crop_padding, generator)
    if augmentation.rand_augment:
        pixels = _rand_augment(pixels, augmentation.rand_augment / 10, generator)
    return pixels.permute(0, 3, 1, 2)


def cut_and_mix(
    images: Tensor,
    labels: Tensor,
    num_classes: int,
    augmentation: Augmentation,
    generator: torch.Generator,
) -> tuple[Tensor, Tensor]:
    """What is done to a normalised batch, in its own memory: cutout, and MixUp or CutMix.

    Float (N, C, H, W) and int64 (N,) labels; a mixed batch has float labels (N, num_classes). Of
    MixUp and CutMix, where both are on, each batch gets one, with equal chances.
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
    hard = F.one_hot(labels, num_classes).to(images.dtype)
    return images, hard.lerp(hard.roll(1, 0), 1 - share)


def _replace(pixels: Tensor, rows: Tensor, change: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """`pixels` with `change(pixels[rows], rows)` in the place of some rows."""
    if not len(rows):
        return pixels
    changed = change(pixels.index_select(0, rows), rows)
    # NumPy copies whole rows, torch's index_copy_ single bytes: 4 µs instead of 25.
    whole = pixels.numpy().copy()
    whole[rows.numpy()] = changed.numpy()
    return torch.from_numpy(whole)


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


def _rand_augment(pixels: Tensor, strength: float, generator: torch.Generator) -> Tensor:
    """One colour and one geometric operation per image, either of which may be to do nothing.

    After RandAugment (1909.13719), which draws two of one list: so a batch is resampled once at
    most. `strength` is 0 to 1, its sign drawn per image; (N, H, W, C) stays.
    """
    count = len(pixels)
    colour = torch.randint(0, 1 + len(COLOURS), (count,), generator=generator)
    motion = torch.randint(0, 1 + len(MOTIONS), (count,), generator=generator)
    signs = torch.randint(0, 2, (2, count), generator=generator) * 2 - 1
    much, far = strength * signs[:, :, None, None, None]

    def recolour(operation: Callable[[Tensor, Tensor], Tensor]) -> Callable[..., Tensor]:
        return lambda some, rows: _bytes(operation(some.float(), much[rows]))

    for number, operation in enumerate(COLOURS.values(), 1):
        pixels = _replace(pixels, (colour == number).nonzero().flatten(), recolour(operation))
    return _replace(
        pixels,
        motion.nonzero().flatten(),
        lambda some, rows: _bytes(_move(some.float(), motion[rows], far[rows].flatten())),
    )


def _bytes(values: Tensor) -> Tensor:
    return values.round_().clamp_(0, 255).to(torch.uint8)


def _brightness(pixels: Tensor, strength: Tensor) -> Tensor:
    return pixels * (1 + 0.9 * strength)


def _contrast(pixels: Tensor, strength: Tensor) -> Tensor:
    mean = pixels.mean((1, 2, 3), keepdim=True)
    return mean + (pixels - mean) * (1 + 0.9 * strength)


def _sharpness(pixels: Tensor, strength: Tensor) -> Tensor:
    """Away from, or towards, Pillow's smooth filter (1 around a 5); borders stay, as there."""
    inner = pixels[:, 1:-1, 1:-1]
    if not inner.numel():
        return pixels
    lines = pixels[:, :-2] + pixels[:, 1:-1] + pixels[:, 2:]
    smooth = (lines[:, :, :-2] + lines[:, :, 1:-1] + lines[:, :, 2:] + 4 * inner) / 13
    inner += (inner - smooth) * (0.9 * strength)
    return pixels


def _posterize(pixels: Tensor, strength: Tensor) -> Tensor:
    """Of 8 bits 4 are left at full strength."""
    step = 2 ** torch.round(4 * strength.abs())
    return pixels - pixels % step


def _solarize(pixels: Tensor, strength: Tensor) -> Tensor:
    """Inverted above a threshold, which falls from 256 to 0."""
    return torch.where(pixels >= 256 * (1 - strength.abs()), 255 - pixels, pixels)


COLOURS: Final[dict[str, Callable[[Tensor, Tensor], Tensor]]] = {
    "brightness": _brightness,
    "contrast": _contrast,
    "sharpness": _sharpness,
    "posterize": _posterize,
    "solarize": _solarize,
}
"""Operations on float pixels (N, H, W, C) in 0…255, by a strength (N, 1, 1, 1) in −1…1."""

MOTIONS: Final[dict[str, float]] = {
    "rotate": math.radians(30),
    "shear_x": 0.3,
    "shear_y": 0.3,
    "translate_x": 0.45,
    "translate_y": 0.45,
}
"""Radians, slopes and shares of the side at full strength: AutoAugment's (1805.09501)."""


def _move(pixels: Tensor, kinds: Tensor, strength: Tensor) -> Tensor:
    """Each square image by its motion (1 is the first), bilinear, zeros around."""
    far = {
        name: torch.where(kinds == number, most * strength, 0.0)
        for number, (name, most) in enumerate(MOTIONS.items(), 1)
    }
    turn = far["rotate"]
    rows = torch.stack(
        [
            *(turn.cos(), far["shear_x"] - turn.sin(), 2 * far["translate_x"]),
            *(turn.sin() + far["shear_y"], turn.cos(), 2 * far["translate_y"]),
        ]
    ).view(2, 3, -1, 1)
    side = pixels.shape[1]
    places = (torch.arange(side) * 2 + 1) / side - 1
    # F.affine_grid takes longer than the sampling.
    across, down = rows[:, 0] * places, rows[:, 1] * places + rows[:, 2]
    grid = torch.empty(len(pixels), side, side, 2)
    torch.add(across[0][:, None, :], down[0][:, :, None], out=grid[..., 0])
    torch.add(across[1][:, None, :], down[1][:, :, None], out=grid[..., 1])
    moved = F.grid_sample(pixels.permute(0, 3, 1, 2).contiguous(), grid, align_corners=False)
    return moved.permute(0, 2, 3, 1).contiguous()
