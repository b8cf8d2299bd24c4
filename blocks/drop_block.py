"""DropBlock: contiguous regions of a map dropped in training."""

from dataclasses import dataclass
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from blocks.errors import CompoundNasError

SHAPES: Final = ("square", "circle")


@dataclass(frozen=True, slots=True)
class DropBlockSpec:
    """Probability that an element is dropped at the end of training, block side, shape.

    `square` is DropBlock as published; `circle` is a labelled variant whose mask is the disc
    in that square.
    """

    probability: float
    size: int = 7
    shape: str = "square"

    def __post_init__(self) -> None:
        if not 0 <= self.probability < 1:
            raise CompoundNasError(f"DropBlock probability {self.probability} is not in [0, 1)")
        if self.size < 1 or self.size % 2 == 0:
            raise CompoundNasError(f"DropBlock size {self.size} is not an odd number of 1 or more")
        if self.shape not in SHAPES:
            raise CompoundNasError(
                f"unknown DropBlock shape {self.shape!r}; expected one of {', '.join(SHAPES)}"
            )


class DropBlock(nn.Module):
    """Zero blocks of each channel's map, and scale the rest up to keep its sum.

    `progress` in [0, 1] is the schedule: the probability grows linearly from 0 to
    `spec.probability` over training, which the paper found better than a fixed one. In eval
    mode the input passes. A block larger than the map is clipped to it.

    Shapes: (N, C, H, W) → the same.

    Source: Ghiasi et al., arXiv 1810.12890, Algorithm 1; γ = p·HW / (area·(H−b+1)(W−b+1)) with
    the area of the mask, b² for the square.
    """

    def __init__(self, spec: DropBlockSpec) -> None:
        super().__init__()
        self.spec = spec
        self.progress = 1.0

    def forward(self, x: Tensor) -> Tensor:
        probability = self.spec.probability * self.progress
        if not self.training or probability == 0:
            return x
        height, width = x.shape[-2:]
        size = min(self.spec.size, height, width)
        size -= 1 - size % 2  # odd, so that a block has a centre
        if self.spec.shape == "square":
            from torchvision.ops import drop_block2d  # which takes seconds

            dropped: Tensor = drop_block2d(x, probability, size)
            return dropped
        disc = disc_mask(size).to(x)
        valid = (height - size + 1) * (width - size + 1)
        gamma = probability * height * width / (float(disc.sum()) * valid)
        seeds = torch.empty(
            *x.shape[:2], height - size + 1, width - size + 1, dtype=x.dtype, device=x.device
        ).bernoulli_(min(1.0, gamma))
        # Transposed convolution stamps the disc around every seed of every channel.
        stamped = F.conv_transpose2d(seeds.flatten(0, 1).unsqueeze(1), disc[None, None])
        keep = (stamped == 0).to(x.dtype).reshape(x.shape)
        return x * keep * (keep.numel() / keep.sum().clamp(min=1))


def disc_mask(size: int) -> Tensor:
    """(size, size) of 0 and 1: the pixels whose centre lies within size/2 of the middle."""
    offsets = torch.arange(size) - (size - 1) / 2
    inside: Tensor = offsets[:, None] ** 2 + offsets[None, :] ** 2 <= (size / 2) ** 2
    return inside.float()
