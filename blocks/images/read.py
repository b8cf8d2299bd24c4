"""Labelled images from a file, a folder, or the Fashion-MNIST that ships with the project."""

import importlib.resources
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import torch
from torch import Tensor

from blocks.arch import ArchSpec
from blocks.errors import ExportError
from blocks.images.arrays import ArrayImages, from_npz
from blocks.images.batches import Images, Part
from blocks.images.folders import FileImages, Labels, from_folder
from blocks.images.reading import USUAL, Reading

IMAGENET_MEAN: Final = (0.485, 0.456, 0.406)
IMAGENET_STD: Final = (0.229, 0.224, 0.225)
"""What RGB networks are normalised by unless they say otherwise; other channel counts: 0.5."""

_EMBEDDED: Final = "fashion_mnist_6000_2000.npz"


def read_images(
    path: Path | None,
    arch: ArchSpec,
    num_classes: int,
    *,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    part: Part = "test",
    labels: Labels = "folder",
    classes: Sequence[str] | None = None,
    reading: Reading = USUAL,
    labelled: bool = True,
) -> Images:
    """The images in `path` at the size and with the channels of `arch`, normalised.

    An `.npz` file holds uint8 N×H×W or N×H×W×C `x_test` and `y_test` (else `x_train`, `y_train`,
    else `images`, `labels`), which are resized. A folder is what `list_folder` reads: a folder per
    class, or folders of splits of such; each is the label that `classes`, the network's own names,
    gives it, and without these they are 0, 1, … in the order of their names. Or it holds images
    alone, without labels, or with `labels="name"` the last whole number of each file name. None
    is the embedded Fashion-MNIST, without its labels if the network has not its 10 classes.

    `part="train"` prefers the training images where there are both. Grey is repeated for RGB
    networks, RGB is made grey by luminance. `mean` and `std` are of pixels in 0…1, one number or
    one for each channel; None: ImageNet's for RGB, 0.5 else. `reading`: how files become pixels.
    Without `labelled` no labels are read.

    Raises:
        ExportError: nothing there, unreadable, of other channels, or labels that are not
            0…num_classes-1.
    """
    moments = moments_of(arch.in_channels, mean, std)
    reader: ArrayImages | FileImages
    if path is None:
        embedded = importlib.resources.files("blocks.embedded") / _EMBEDDED
        stream = io.BytesIO(embedded.read_bytes())
        where, reader, found = from_npz(stream, "the embedded Fashion-MNIST", arch, part, labelled)
        if num_classes != 10:
            found = None
    elif path.is_dir():
        where, reader, found = from_folder(path, arch, num_classes, part, labels, classes, reading)
    else:
        try:
            with path.open("rb") as file:
                where, reader, found = from_npz(file, str(path), arch, part, labelled)
        except OSError as error:
            raise ExportError(
                f"cannot read images {path}: {error.strerror}; expected an .npz file or a folder"
            ) from None
    if found is not None and (found.min() < 0 or found.max() >= num_classes):
        raise ExportError(
            f"{where}: labels span {found.min()} to {found.max()}; expected 0 to "
            f"{num_classes - 1} of a network with num_classes {num_classes}"
        )
    numbers = tuple(range(reader.count))
    labels_of_all = None if found is None else torch.from_numpy(found)
    return Images(where, labels_of_all, reader, numbers, arch.image, *moments)


def moments_of(
    channels: int, mean: Sequence[float] | None, std: Sequence[float] | None
) -> tuple[Tensor, Tensor]:
    """Mean and deviation (channels, 1, 1) of pixels in 0…1, from one number or one for each
    channel; None: ImageNet's for RGB, 0.5 else.

    Raises:
        ExportError: other numbers, or one of the two alone.
    """
    if mean is None and std is None:
        rgb = channels == 3
        mean, std = (IMAGENET_MEAN, IMAGENET_STD) if rgb else ((0.5,), (0.5,))
    if mean is None or std is None:
        raise ExportError(f"mean {mean} and std {std}: expected both, or neither")
    tensors = []
    for name, values in (("mean", mean), ("std", std)):
        if len(values) not in (1, channels):
            raise ExportError(
                f"{name} has {len(values)} numbers; expected 1 or {channels}, as the network "
                f"has {channels} input channels"
            )
        tensors.append(torch.tensor(list(values)).expand(channels).reshape(channels, 1, 1))
    if not (tensors[1] > 0).all() or not torch.cat(tensors).isfinite().all():
        raise ExportError(f"std {list(std)} is not all above 0, or mean {list(mean)} not finite")
    return tensors[0], tensors[1]
