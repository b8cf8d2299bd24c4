"""From a file to a network's input: the one way, for the search, for what it left, and at work."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from blocks.arch import ArchSpec, Size
from blocks.errors import CompoundNasError
from blocks.images.batches import match_channels
from blocks.images.decode import Opened, Pixels, fitted_to, open_image, size_of
from blocks.images.reading import Reading

LONGEST: Final = 32
"""Of an image, its longer side over its shorter: what is beyond is cut off before resizing."""


def decode_at(
    path: Path, size: Size, reading: Reading, error: type[CompoundNasError]
) -> tuple[Pixels, Opened]:
    """The image of a file as `reading` has it, uint8 (*size, C), and what it was opened as.

    Raises:
        CompoundNasError: see `blocks.images.decode.open_image`; of the class `error`.
    """
    # Published networks are judged on photographs that are decoded whole.
    near = size.longer if reading.interpolation == "bilinear" else None
    opened = open_image(path, error, reading, near)
    image = _shortened(opened.image) if reading.resize == "crop" else opened.image
    kinds = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
    kind = kinds[reading.interpolation]
    return fitted_to(image, size, kind, reading, path, error, reading.crop), opened


def decode_for(
    path: Path, arch: ArchSpec, reading: Reading, error: type[CompoundNasError]
) -> Tensor:
    """A file as the input of `arch`, float32 (channels, H, W) in 0…1, not normalised yet.

    Raises:
        CompoundNasError: as `decode_at`, or it has other channels; of the class `error`.
    """
    size = arch.image if reading.image_size is None else Size(*reading.image_size)
    pixels, _ = decode_at(path, size, reading, error)
    return inputs_of([pixels], arch, str(path))[0]


def inputs_of(pixels: Sequence[Pixels] | Pixels, arch: ArchSpec, where: str) -> Tensor:
    """Images uint8 (H, W, C) of one size as inputs of `arch`, float32 (n, channels, H, W) in 0…1.

    Raises:
        ExportError: images of other channels; `where` names them.
    """
    whole = pixels if isinstance(pixels, np.ndarray) else np.stack(pixels)
    images = torch.from_numpy(whole).permute(0, 3, 1, 2)
    return match_channels(resize(images, arch.image) / 255, arch.in_channels, where)


def resize(images: Tensor, size: Size) -> Tensor:
    """uint8 (N, C, H, W) → float32 (N, C, *size) of whole numbers, antialiased bilinear."""
    # Channels first: the kernel for channels last rounds otherwise.
    plain = images.to(torch.float32, memory_format=torch.contiguous_format)
    if tuple(images.shape[2:]) == size:
        return plain
    resized = F.interpolate(plain, tuple(size), mode="bilinear", antialias=True)
    return resized.round_().clamp_(0, 255)


def _shortened(image: Image.Image | Pixels) -> Image.Image | Pixels:
    """Without what is beyond `LONGEST`: a line of pixels would be made an image of gigabytes, to be
    cut off again."""
    width, height = size_of(image)
    most = LONGEST * min(width, height)
    if max(width, height) <= most:
        return image
    wide, tall = min(width, most), min(height, most)
    left, top = (width - wide) // 2, (height - tall) // 2
    if isinstance(image, Image.Image):
        return image.crop((left, top, left + wide, top + tall))
    return image[top : top + tall, left : left + wide]
