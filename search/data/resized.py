"""Splits at one resolution; those of many images are mapped from a file of the cache."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor

from blocks.arch import Size, size_from
from search.data.cache import obtain
from search.data.splits import PARTS, ImageData, Split
from search.data.stored import Stored, Streamed

MAPPED_BYTES: Final = 2**26
"""Of all images at one resolution: from there on they are a file."""
_CHUNK: Final = 4096


def resize(images: Tensor, size: Size | int) -> Tensor:
    """uint8 (N, C, H, W) → uint8 (N, C, *size), antialiased bilinear."""
    size = size_from(size)
    if tuple(images.shape[2:]) == size:
        return images
    return torch.cat(list(_resized(images, size)))


def _resized(images: Tensor, size: Size) -> Iterator[Tensor]:
    for chunk in torch.split(images, _CHUNK):
        # Channels first: the kernel for channels last rounds otherwise.
        plain = chunk.to(torch.float32, memory_format=torch.contiguous_format)
        resized = F.interpolate(plain, tuple(size), mode="bilinear", antialias=True)
        yield resized.round_().clamp_(0, 255).to(torch.uint8, memory_format=torch.channels_last)


def splits_at(data: ImageData, size: Size | int) -> tuple[Split, Split, Split]:
    """Train, val and test of `data` at `size` pixels."""
    size = size_from(size)
    splits: list[Split] = [getattr(data, part) for part in PARTS]
    if data.train.files is not None:
        train, val, test = (_streamed_at(split, size) for split in splits)
        return train, val, test
    sizes = {tuple(split.images.shape[2:]) for split in splits}
    if data.home is None or sizes == {tuple(size)} or not mapped(data, size):
        train, val, test = (split.with_images(resize(split.images, size)) for split in splits)
        return train, val, test
    stored = obtain(_path(data.home, size), partial(_build, splits, size))
    train, val, test = (
        split.with_images(stored.tensor(part).permute(0, 3, 1, 2))
        for part, split in zip(PARTS, splits, strict=True)
    )
    return train, val, test


def _streamed_at(split: Split, size: Size) -> Split:
    assert split.files is not None
    files = split.files.at(size)
    return replace(split, images=files.empty, files=files)


def mapped(data: ImageData, size: Size) -> bool:
    """Whether the images are mapped from a file at this size, and no process's own memory."""
    images = sum(len(getattr(data, part)) for part in PARTS)
    return data.home is not None and images * data.in_channels * size.area >= MAPPED_BYTES


def _path(home: Path, size: Size) -> Path:
    """PyTorch resizes: another version may round otherwise."""
    return home / f"at-{size}-torch-{torch.__version__}.bin"


def _build(splits: list[Split], size: Size) -> Stored:
    def streamed(split: Split) -> Streamed:
        shape = (len(split), *size, split.images.shape[1])
        return Streamed(
            torch.uint8,
            shape,
            lambda: (chunk.permute(0, 2, 3, 1) for chunk in _resized(split.images, size)),
        )

    return Stored({part: streamed(split) for part, split in zip(PARTS, splits, strict=True)}, {})
