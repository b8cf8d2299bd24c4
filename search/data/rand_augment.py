"""RandAugment of a batch: a colour and a geometric operation per image, on bytes."""

import math
from collections.abc import Callable
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor


def rand_augment(pixels: Tensor, strength: float, generator: torch.Generator) -> Tensor:
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
        pixels = replace_rows(pixels, (colour == number).nonzero().flatten(), recolour(operation))
    return replace_rows(
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
    """Each image by its motion (1 is the first), bilinear, zeros around."""
    far = {
        name: torch.where(kinds == number, most * strength, 0.0)
        for number, (name, most) in enumerate(MOTIONS.items(), 1)
    }
    turn = far["rotate"]
    high, wide = pixels.shape[1:3]
    steep = high / wide  # places are shares of each side, angles are of pixels
    rows = torch.stack(
        [
            *(turn.cos(), (far["shear_x"] - turn.sin()) * steep, 2 * far["translate_x"]),
            *((turn.sin() + far["shear_y"]) / steep, turn.cos(), 2 * far["translate_y"]),
        ]
    ).view(2, 3, -1, 1)
    columns, lines = ((torch.arange(side) * 2 + 1) / side - 1 for side in (wide, high))
    # F.affine_grid takes longer than the sampling.
    across, down = rows[:, 0] * columns, rows[:, 1] * lines + rows[:, 2]
    grid = torch.empty(len(pixels), high, wide, 2)
    torch.add(across[0][:, None, :], down[0][:, :, None], out=grid[..., 0])
    torch.add(across[1][:, None, :], down[1][:, :, None], out=grid[..., 1])
    moved = F.grid_sample(pixels.permute(0, 3, 1, 2).contiguous(), grid, align_corners=False)
    return moved.permute(0, 2, 3, 1).contiguous()


def replace_rows(
    pixels: Tensor, rows: Tensor, change: Callable[[Tensor, Tensor], Tensor]
) -> Tensor:
    """`pixels` with `change(pixels[rows], rows)` in the place of some rows."""
    if not len(rows):
        return pixels
    changed = change(pixels.index_select(0, rows), rows)
    # NumPy copies whole rows, torch's index_copy_ single bytes: 4 µs instead of 25.
    whole = pixels.numpy().copy()
    whole[rows.numpy()] = changed.numpy()
    return torch.from_numpy(whole)
