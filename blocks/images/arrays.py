"""Images out of an `.npz` file."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO, Final
from zipfile import BadZipFile

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from blocks.arch import ArchSpec
from blocks.errors import ExportError, one_line
from blocks.images.batches import PART_ORDER, Part, match_channels
from blocks.images.decode import Pixels
from blocks.images.inputs import inputs_of

NPZ_DAMAGE: Final = (
    OSError, ValueError, EOFError, KeyError, AttributeError, NotImplementedError, zlib.error,
    BadZipFile,
)  # fmt: skip
"""What NumPy raises of a damaged .npz file, or of one that is something else."""


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
    order = [f"x_{name}" for name in PART_ORDER[part]]
    try:
        with np.load(stream, allow_pickle=False) as arrays:
            names = list(arrays.files)
            name = next((n for n in (*order, "images") if n in names), None)
            if name is None:
                raise ExportError(
                    f"{where} has arrays {', '.join(names) or 'none'}; expected x_test and "
                    "y_test, x_train and y_train, or images and labels"
                )
            pixels = arrays[name]
            label_name = "labels" if name == "images" else name.replace("x_", "y_")
            labels = arrays[label_name] if labelled and label_name in names else None
    except NPZ_DAMAGE as error:
        raise ExportError(
            f"cannot read {where}: {one_line(error) or type(error).__name__}"
        ) from None
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


def _shape(array: NDArray[Any]) -> str:
    return "×".join(map(str, array.shape))
