"""Images out of a folder."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from blocks.arch import ArchSpec
from blocks.errors import ExportError
from blocks.images.batches import Part, match_channels
from blocks.images.decode import IMAGE_SUFFIXES, Pixels, centre_square, open_image

CROP_FRACTION: Final = 224 / 256
"""The part of a photograph's shorter side that the centre crop keeps, as in most evaluations."""
Labels = Literal["folder", "name"]

_MOST_ELONGATED: Final = 64
"""A photograph whose sides differ more is not one, and would be enlarged beyond all memory."""


@dataclass(frozen=True)
class FileImages:
    """Image files, decoded when they are asked for."""

    paths: tuple[Path, ...]
    arch: ArchSpec
    crop: float

    @property
    def count(self) -> int:
        return len(self.paths)

    def __call__(self, numbers: Sequence[int]) -> Tensor:
        images = []
        for number in numbers:
            path = self.paths[number]
            pixels = decode_image(path, self.arch.resolution, self.crop)
            image = torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255
            images.append(match_channels(image, self.arch.in_channels, str(path)))
        return torch.cat(images)


def from_folder(
    folder: Path, arch: ArchSpec, num_classes: int, part: Part, labels: Labels, crop: float
) -> tuple[str, FileImages, NDArray[np.int64] | None]:
    """Where the images of `part` are from, they, and their labels (None: there are none)."""
    try:
        order = ("train", "val", "test") if part == "train" else ("test", "val", "train")
        splits = [folder / name for name in order if (folder / name).is_dir()]
        if labels == "folder" and (folder / "train").is_dir():
            folder = splits[0]
        if labels == "name":
            return _labelled_by_name(folder, arch, crop)
        classes = sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))
        members = [_image_files(each, "**/*") for each in classes]
        flat = _image_files(folder, "*") if not classes else []
    except OSError as error:
        raise ExportError(f"cannot read images {folder}: {error.strerror}") from None
    if not classes:
        return str(folder), FileImages(_some(flat, folder), arch, crop), None
    if len(classes) != num_classes:
        raise ExportError(
            f"{folder} has {len(classes)} class folders ({classes[0].name} …); expected "
            f"{num_classes}, the num_classes of the network"
        )
    paths = _some([path for each in members for path in each], folder)
    numbers = [number for number, each in enumerate(members) for _ in each]
    return str(folder), FileImages(paths, arch, crop), np.array(numbers, dtype=np.int64)


def _labelled_by_name(
    folder: Path, arch: ArchSpec, crop: float
) -> tuple[str, FileImages, NDArray[np.int64]]:
    """`imagenet_00_243.jpg` → 243."""
    paths = _some(_image_files(folder, "*"), folder)
    labels = []
    for path in paths:
        numbers = re.findall(r"\d+", path.stem)
        if not numbers:
            raise ExportError(f"{path} has no number in its name to be its label")
        labels.append(int(numbers[-1]))
    if max(labels) >= 2**31:
        raise ExportError(f"{folder}: label {max(labels)} in a file name is not a class")
    return str(folder), FileImages(paths, arch, crop), np.array(labels, dtype=np.int64)


def _image_files(folder: Path, pattern: str) -> list[Path]:
    return sorted(
        path
        for path in folder.glob(pattern)
        if path.suffix.lower() in IMAGE_SUFFIXES
        and path.is_file()
        and not path.name.startswith(".")
    )


def _some(paths: list[Path], folder: Path) -> tuple[Path, ...]:
    if not paths:
        raise ExportError(f"{folder} holds no images ({', '.join(IMAGE_SUFFIXES)})")
    return tuple(paths)


def decode_image(path: Path, resolution: int, crop: float = CROP_FRACTION) -> Pixels:
    """uint8 (resolution, resolution, 1 or 3): resized bicubically, the centre cut out.

    Raises:
        ExportError: not an image, a damaged one, or one too narrow.
    """
    image, _ = open_image(path, ExportError)
    if max(image.size) > _MOST_ELONGATED * min(image.size):
        raise ExportError(f"image {path} is {image.width}×{image.height}: too narrow to crop")
    return centre_square(image, resolution, Image.Resampling.BICUBIC, crop)
