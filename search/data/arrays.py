"""Images as NumPy arrays: .npz files, and the Fashion-MNIST that comes with the package."""

import hashlib
import io
from collections.abc import Iterator
from importlib import resources
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from blocks.arch import Size
from blocks.errors import one_line
from blocks.images.npz import NPZ_DAMAGE, read_npz
from blocks.names import counted
from search.config.schema import DatasetConfig
from search.data.splits import Labels, Raw, Rows, root_of
from search.errors import DataError

FASHION_CLASSES: Final = (
    "t-shirt", "trouser", "pullover", "dress", "coat",
    "sandal", "shirt", "sneaker", "bag", "ankle boot",
)  # fmt: skip

MOST_CHANNELS: Final = 16
"""More is taken for a side of an image."""


def from_arrays(
    classes: tuple[str, ...],
    parts: dict[str, tuple[NDArray[Any], NDArray[Any]]],
    where: str,
    several: bool = False,
) -> Raw:
    """The splits of uint8 images (N, H, W) or (N, H, W, C) with whole labels (N,), or with
    `several` 0 and 1 (N, classes), checked and hashed.

    Raises:
        DataError: names the array and what was expected; `where` is the file, for messages.
    """
    hashes: list[bytes] = []
    known: list[NDArray[np.uint8]] = []
    numbers: list[Labels] = []
    for part, (images, labels) in parts.items():
        if images.dtype != np.uint8 or images.ndim not in (3, 4):
            raise DataError(
                f"{where}: x_{part} is {images.dtype} of {images.ndim} dimensions; expected "
                "uint8 N×H×W or N×H×W×C"
            )
        _check_channels_last(images, f"{where}: x_{part}")
        if labels.ndim == 2 and labels.shape[1] == 1:
            labels = labels[:, 0]  # as Keras has them
        if len(images) != len(labels) or not len(labels):
            raise DataError(
                f"{where}: {counted(len(images), f'{part} image')} but "
                f"{counted(len(labels), 'label')}"
            )
        check = _several_of if several else _one_of
        known_labels = check(labels, len(classes), part, where)
        images = np.ascontiguousarray(images)
        hashes += [hashlib.sha256(image.tobytes()).digest() for image in images]
        known.append(images[..., None] if images.ndim == 3 else images)
        numbers.append(known_labels)
    channels = {part: images.shape[3] for part, images in zip(parts, known, strict=True)}
    if len(set(channels.values())) > 1:
        raise DataError(f"{where}: splits differ in channels: {channels}")
    everything = [torch.from_numpy(images) for images in known]
    starts = np.cumsum([0, *map(len, everything)])

    def read(rows: Rows) -> Iterator[Tensor]:
        """Rows that lie in one part, as those of a split do."""
        part = int(np.searchsorted(starts, rows[0], side="right")) - 1
        images = everything[part]
        if len(rows) == len(images):
            yield images
        else:
            yield images.index_select(0, torch.from_numpy(rows - starts[part]))

    return Raw(
        classes,
        tuple(part for part, images in zip(parts, everything, strict=True) for _ in images),
        np.concatenate(numbers),
        tuple(hashes),
        read,
    )


def _one_of(labels: NDArray[Any], classes: int, part: str, where: str) -> Labels:
    """int64 (N,), each below `classes`."""
    if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer):
        hint = "; task=multilabel reads 0 and 1 for each label" if labels.ndim == 2 else ""
        raise DataError(
            f"{where}: y_{part} is {labels.dtype} {_shape(labels)}; expected a vector of "
            f"{len(labels)} whole numbers{hint}"
        )
    if labels.min() < 0 or labels.max() >= classes:
        raise DataError(
            f"{where}: {part} labels span {labels.min()} to {labels.max()}; expected 0 to "
            f"{classes - 1}"
        )
    return labels.astype(np.int64)


def _several_of(labels: NDArray[Any], classes: int, part: str, where: str) -> Labels:
    """uint8 (N, classes) of 0 and 1."""
    if labels.ndim != 2 or labels.shape[1] != classes:
        raise DataError(
            f"{where}: y_{part} is {labels.dtype} {_shape(labels)}; task=multilabel expects "
            f"{len(labels)}×{classes} of 0 and 1"
        )
    if not np.isin(labels, (0, 1)).all():
        raise DataError(
            f"{where}: y_{part} holds {labels[~np.isin(labels, (0, 1))][0]}; task=multilabel "
            "expects 0 and 1 for each label"
        )
    return labels.astype(np.uint8)


def _check_channels_last(images: NDArray[Any], where: str) -> None:
    """Refuse what can only be channels first: a network of 24 channels called RGB."""
    if images.ndim == 4 and images.shape[3] > MOST_CHANNELS >= images.shape[1]:
        raise DataError(
            f"{where} is {_shape(images)}: channels last expected, N×H×W×C; "
            "x.transpose(0, 2, 3, 1) makes it so"
        )


def _shape(array: NDArray[Any]) -> str:
    return "×".join(map(str, array.shape))


def _read_npz(
    stream: Any, where: str, classes: tuple[str, ...] | None, several: bool = False
) -> Raw:
    try:
        found = read_npz(stream)
    except NPZ_DAMAGE as error:
        raise DataError(f"cannot read {where}: {one_line(error) or type(error).__name__}") from None
    for name in ("x_train", "y_train"):
        if name not in found:
            raise DataError(f"{where} lacks array {name!r}; it has {', '.join(found) or 'none'}")
    parts = {
        part: (found[f"x_{part}"], found[f"y_{part}"])
        for part in ("train", "val", "test")
        if f"x_{part}" in found and f"y_{part}" in found
    }
    if several:
        classes = _names(found, where)
    if classes is None:
        labels = found["y_train"]
        if not (labels.size and np.issubdtype(labels.dtype, np.integer)):
            raise DataError(
                f"{where}: y_train is {labels.dtype} {_shape(labels)}; expected a vector of whole "
                "numbers"
            )
        if labels.max() >= len(labels):
            raise DataError(
                f"{where}: y_train goes up to {labels.max()} with "
                f"{counted(len(labels), 'image')}; expected "
                "labels 0, 1, 2, …"
            )
        classes = tuple(str(label) for label in range(int(labels.max()) + 1))
    return from_arrays(classes, parts, where, several)


def _names(found: dict[str, NDArray[Any]], where: str) -> tuple[str, ...]:
    """Of the labels: the array `classes`, or their numbers."""
    labels = found["y_train"]
    if labels.ndim != 2:
        raise DataError(
            f"{where}: y_train is {labels.dtype} {_shape(labels)}; task=multilabel expects "
            "images × labels of 0 and 1"
        )
    if "classes" not in found:
        return tuple(str(number) for number in range(labels.shape[1]))
    names = tuple(map(str, found["classes"].ravel().tolist()))
    if len(names) != labels.shape[1] or len(set(names)) < len(names):
        raise DataError(
            f"{where}: classes holds {len(names)} names, {len(set(names))} of them different; "
            f"expected one for each of the {labels.shape[1]} labels of y_train"
        )
    return names


def load_npz(config: DatasetConfig, image_size: Size, several: bool = False) -> Raw:
    """`x_train`, `y_train` and, where there are, those of val and test, from an .npz file. With
    `several`, labels are 0 and 1 (N, K), and `classes` may hold their names."""
    path = root_of(config)
    try:
        with path.open("rb") as stream:
            return _read_npz(stream, str(path), None, several)
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from None


def load_fashion_mnist(config: DatasetConfig, image_size: Size) -> Raw:
    """The part of Fashion-MNIST that comes with the package."""
    file = resources.files("blocks.embedded") / "fashion_mnist_6000_2000.npz"
    return _read_npz(io.BytesIO(file.read_bytes()), "embedded Fashion-MNIST", FASHION_CLASSES)
