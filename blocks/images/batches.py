"""Images as a network wants them: normalised, a batch at a time.

They stay as they are until they are asked for, so that thousands of images at a large resolution
need no memory.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

import torch
from torch import Tensor

from blocks.arch import Size
from blocks.errors import ExportError

Part = Literal["test", "val", "train"]
"""The images that are meant, where there are several splits."""
PART_ORDER: Final[dict[Part, tuple[Part, ...]]] = {
    "test": ("test", "val", "train"),
    "val": ("val", "test", "train"),
    "train": ("train", "val", "test"),
}
"""What is taken where a part is missing."""

_BATCH_PIXELS: Final = 2**20
_LUMINANCE: Final = (0.299, 0.587, 0.114)
"""Of R, G and B (ITU-R BT.601), which is also Pillow's grey."""


@dataclass(frozen=True)
class Images:
    """`where` names them: file and array, or folder; `labels` int64 (N,), or None: unknown.

    `read` gives the images of some numbers as float32 (n, channels, height, width) in
    0…1; `numbers` are those of this set. `mean` and `std` are (channels, 1, 1).
    """

    where: str
    labels: Tensor | None
    read: Callable[[Sequence[int]], Tensor]
    numbers: tuple[int, ...]
    size: Size
    mean: Tensor
    std: Tensor

    def __len__(self) -> int:
        return len(self.numbers)

    def load(self, first: int | None = None) -> Tensor:
        """The first so many images (None: all), normalised, float32 (n, C, H, W)."""
        return (self.read(self.numbers[:first]) - self.mean) / self.std

    def batches(self) -> Iterator[Tensor]:
        """All of them in order, normalised, in small batches."""
        size = batch_size(self.size)
        for start in range(0, len(self), size):
            yield (self.read(self.numbers[start : start + size]) - self.mean) / self.std

    def take(self, chosen: Sequence[int]) -> "Images":
        """The images at those positions of this set."""
        return replace(
            self,
            numbers=tuple(self.numbers[position] for position in chosen),
            labels=None if self.labels is None else self.labels[list(chosen)],
        )

    def shuffled(self, seed: int) -> "Images":
        """The same images in an order that follows `seed`."""
        generator = torch.Generator().manual_seed(seed)
        return self.take(torch.randperm(len(self), generator=generator).tolist())


def batch_size(size: Size) -> int:
    """How many images at a time keep the maps of a large network within a gigabyte or two."""
    return max(1, min(256, _BATCH_PIXELS // int(size.area)))


def match_channels(images: Tensor, channels: int, where: str) -> Tensor:
    """(N, C, H, W) with C of 1 or 3 → (N, channels, H, W): repeated, or luminance.

    Raises:
        ExportError: other channels.
    """
    has = images.shape[1]
    if has == channels:
        return images
    if has == 1 and channels == 3:
        return images.expand(-1, 3, -1, -1)
    if has == 3 and channels == 1:
        weights = torch.tensor(_LUMINANCE).reshape(1, 3, 1, 1)
        return (images * weights).sum(1, keepdim=True)
    raise ExportError(f"{where}: images of {has} channels for a network of {channels}")
