"""Images out of a folder."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from blocks.arch import ArchSpec
from blocks.errors import ExportError
from blocks.images.batches import PART_ORDER, Part
from blocks.images.decode import IMAGE_SUFFIXES
from blocks.images.inputs import decode_for
from blocks.images.listing import list_folder
from blocks.images.reading import USUAL, Reading
from blocks.images.walk import flat_images
from blocks.names import few

Labels = Literal["folder", "name"]


@dataclass(frozen=True)
class FileImages:
    """Image files, decoded when they are asked for."""

    paths: tuple[Path, ...]
    arch: ArchSpec
    reading: Reading = USUAL

    @property
    def count(self) -> int:
        return len(self.paths)

    def __call__(self, numbers: Sequence[int]) -> Tensor:
        return torch.stack(
            [
                decode_for(self.paths[number], self.arch, self.reading, ExportError)
                for number in numbers
            ]
        )


def from_folder(
    folder: Path,
    arch: ArchSpec,
    num_classes: int,
    part: Part,
    labels: Labels,
    classes: Sequence[str] | None = None,
    reading: Reading = USUAL,
) -> tuple[str, FileImages, NDArray[np.int64] | None]:
    """Where the images of `part` are from, they, and their labels (None: there are none).

    `classes`: the names of the network's own, where known; the folder may lack some of them.
    """
    try:
        if labels == "name":
            return _labelled_by_name(folder, arch, reading)
        flat = flat_images(folder)
        if flat and not any(path.is_dir() for path in folder.iterdir()):
            return str(folder), FileImages(tuple(flat), arch, reading), None
        if not any(folder.iterdir()):
            _some([], folder)
    except OSError as error:
        raise ExportError(f"cannot read images {folder}: {error.strerror}") from None
    found = list_folder(folder, ExportError, name="--images", skip_unlabelled=True)
    taken = next(name for name in PART_ORDER[part] if name in found.parts)
    where = found.parts[taken]
    numbers = _numbers_of(found.classes, classes, num_classes, where)
    files = [file for file in found.files if file.part == taken]
    paths = _some([file.path for file in files], where)
    known = np.array([numbers[file.label] for file in files], dtype=np.int64)
    return str(where), FileImages(paths, arch, reading), known


def _numbers_of(
    found: Sequence[str], classes: Sequence[str] | None, num_classes: int, where: Path
) -> list[int]:
    """The network's number of each class of a folder: by name where its names are known."""
    if classes is None:
        if len(found) != num_classes:
            raise ExportError(
                f"{where} has {len(found)} class folders ({found[0]} …); expected {num_classes}, "
                "the num_classes of the network"
            )
        return list(range(num_classes))
    strangers = [name for name in found if name not in classes]
    if strangers:
        raise ExportError(
            f"{where} has the class {strangers[0]!r}, which the network has not; it knows "
            f"{few(classes)}"
        )
    return [list(classes).index(name) for name in found]


def _labelled_by_name(
    folder: Path, arch: ArchSpec, reading: Reading
) -> tuple[str, FileImages, NDArray[np.int64]]:
    """`imagenet_00_243.jpg` → 243."""
    paths = _some(flat_images(folder), folder)
    labels = []
    for path in paths:
        numbers = re.findall(r"\d+", path.stem)
        if not numbers:
            raise ExportError(f"{path} has no number in its name to be its label")
        labels.append(int(numbers[-1]))
    if max(labels) >= 2**31:
        raise ExportError(f"{folder}: label {max(labels)} in a file name is not a class")
    return str(folder), FileImages(paths, arch, reading), np.array(labels, dtype=np.int64)


def _some(paths: list[Path], folder: Path) -> tuple[Path, ...]:
    if not paths:
        raise ExportError(f"{folder} holds no images ({', '.join(IMAGE_SUFFIXES)})")
    return tuple(paths)
