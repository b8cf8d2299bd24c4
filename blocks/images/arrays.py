"""Images out of an `.npz` file."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from blocks.arch import ArchSpec
from blocks.errors import ExportError, one_line
from blocks.images.batches import PART_ORDER, Part, match_channels
from blocks.images.decode import Pixels
from blocks.images.inputs import inputs_of
from blocks.images.npz import NPZ_DAMAGE, read_npz


@dataclass(frozen=True)
class ArrayImages:
    """Images of one size in memory, uint8 (N, H, W, C)."""

    pixels: Pixels
    arch: ArchSpec
    where: str

    @property
    def count(self) -> int:
        return len(self.pixels)

    def __call__(self, numbers: Sequence[int]) -> Tensor:
        return inputs_of(self.pixels[list(numbers)], self.arch, self.where)


def from_npz(
    stream: BinaryIO, where: str, arch: ArchSpec, part: Part, labelled: bool = True
) -> tuple[str, ArrayImages, NDArray[np.int64] | None]:
    """Where the images of `part` are from, they, and their labels (None: there are none)."""

    def wanted(names: list[str]) -> list[str]:
        order = [f"x_{name}" for name in PART_ORDER[part]]
        name = next((n for n in (*order, "images") if n in names), None)
        if name is None:
            raise ExportError(
                f"{where} has arrays {', '.join(names) or 'none'}; expected x_test and "
                "y_test, x_train and y_train, or images and labels"
            )
        return [name, _label_name(name)] if labelled else [name]

    try:
        arrays = read_npz(stream, wanted)
    except NPZ_DAMAGE as error:
        raise ExportError(
            f"cannot read {where}: {one_line(error) or type(error).__name__}"
        ) from None
    name = next(each for each in arrays if each == "images" or each.startswith("x_"))
    pixels, label_name = arrays[name], _label_name(name)
    labels = arrays.get(label_name)
    if pixels.dtype != np.uint8 or pixels.ndim not in (3, 4) or not pixels.size:
        raise ExportError(
            f"{where}: {name} is {pixels.dtype} {_shape(pixels)}; expected uint8 N×H×W or N×H×W×C"
        )
    if pixels.ndim == 3:
        pixels = pixels[..., None]
    # Refused here, before anything is made of them.
    match_channels(torch.zeros(1, pixels.shape[3], 1, 1), arch.in_channels, where)
    if labels is not None:
        if labels.shape != (len(pixels),) or not np.issubdtype(labels.dtype, np.integer):
            raise ExportError(
                f"{where}: {label_name} is {labels.dtype} {_shape(labels)}; expected "
                f"{len(pixels)} whole numbers"
            )
        labels = labels.astype(np.int64)
    return f"{where} ({name})", ArrayImages(pixels, arch, where), labels


def _label_name(name: str) -> str:
    return "labels" if name == "images" else name.replace("x_", "y_")


def _shape(array: NDArray[Any]) -> str:
    return "×".join(map(str, array.shape))
