"""Labelled images, as a network wants them: to check an export on, to calibrate int8 with.

Read from an `.npz` file, a folder, or, where nothing is given, from the Fashion-MNIST images
that ship with the project. They stay as they are until they are asked for, a batch at a time, so
that thousands of images at a large resolution need no memory.
"""

import importlib.resources
import io
import re
import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO, Final, Literal
from zipfile import BadZipFile

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image, ImageOps
from torch import Tensor

from blocks.arch import ArchSpec
from blocks.errors import ExportError, one_line

IMAGE_SUFFIXES: Final = (".jpg", ".jpeg", ".png", ".bmp", ".ppm", ".pgm", ".webp", ".tif", ".tiff")

IMAGENET_MEAN: Final = (0.485, 0.456, 0.406)
IMAGENET_STD: Final = (0.229, 0.224, 0.225)
"""What RGB networks are normalised by unless they say otherwise; other channel counts: 0.5."""

CROP_FRACTION: Final = 224 / 256
"""The part of a photograph's shorter side that the centre crop keeps, as in most evaluations."""

Part = Literal["test", "train"]
Labels = Literal["folder", "name"]
Pixels = NDArray[np.uint8]

_EMBEDDED: Final = "fashion_mnist_6000_2000.npz"
_LUMINANCE: Final = (0.299, 0.587, 0.114)
"""Of R, G and B (ITU-R BT.601), which is also Pillow's grey."""
_BATCH_PIXELS: Final = 2**20
_MOST_ELONGATED: Final = 64
"""A photograph whose sides differ more is not one, and would be enlarged beyond all memory."""


@dataclass(frozen=True)
class Images:
    """`where` names them: file and array, or folder; `labels` int64 (N,), or None: unknown.

    `read` gives the images of some numbers as float32 (n, channels, resolution, resolution) in
    0…1; `numbers` are those of this set. `mean` and `std` are (channels, 1, 1).
    """

    where: str
    labels: Tensor | None
    read: Callable[[Sequence[int]], Tensor]
    numbers: tuple[int, ...]
    resolution: int
    mean: Tensor
    std: Tensor

    def __len__(self) -> int:
        return len(self.numbers)

    def load(self, first: int | None = None) -> Tensor:
        """The first so many images (None: all), normalised, float32 (n, C, H, W)."""
        return (self.read(self.numbers[:first]) - self.mean) / self.std

    def batches(self) -> Iterator[Tensor]:
        """All of them in order, normalised, in small batches."""
        size = batch_size(self.resolution)
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


def batch_size(resolution: int) -> int:
    """How many images at a time keep the maps of a large network within a gigabyte or two."""
    return max(1, min(256, _BATCH_PIXELS // resolution**2))


def read_images(
    path: Path | None,
    arch: ArchSpec,
    num_classes: int,
    *,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    part: Part = "test",
    labels: Labels = "folder",
    crop: float = CROP_FRACTION,
) -> Images:
    """The images in `path` at the resolution and with the channels of `arch`, normalised.

    An `.npz` file holds uint8 N×H×W or N×H×W×C `x_test` and `y_test` (else `x_train`, `y_train`,
    else `images`, `labels`), which are resized. A folder holds a folder per class, in the order
    of their names the labels 0, 1, …, or folders `test`, `val` or `train` of such; or images
    alone, without labels, or with `labels="name"` the last whole number of each file name. Those
    are resized so that the centre square of `crop` of the shorter side fits, and cropped. None
    is the embedded Fashion-MNIST, without its labels if the network has not its 10 classes.

    `part="train"` prefers the training images where there are both. Grey is repeated for RGB
    networks, RGB is made grey by luminance. `mean` and `std` are of pixels in 0…1, one number or
    one for each channel; None: ImageNet's for RGB, 0.5 else.

    Raises:
        ExportError: nothing there, unreadable, of other channels, or labels that are not
            0…num_classes-1.
    """
    moments = _moments(arch.in_channels, mean, std)
    if not 0 < crop <= 1:
        raise ExportError(f"crop {crop} is not a fraction of more than 0 and at most 1")
    reader: _Array | _Files
    if path is None:
        embedded = importlib.resources.files("blocks.embedded") / _EMBEDDED
        stream = io.BytesIO(embedded.read_bytes())
        where, reader, found = _from_npz(stream, "the embedded Fashion-MNIST", arch, part)
        if num_classes != 10:
            found = None
    elif path.is_dir():
        where, reader, found = _from_folder(path, arch, num_classes, part, labels, crop)
    else:
        try:
            with path.open("rb") as file:
                where, reader, found = _from_npz(file, str(path), arch, part)
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
    return Images(where, labels_of_all, reader, numbers, arch.resolution, *moments)


def _moments(
    channels: int, mean: Sequence[float] | None, std: Sequence[float] | None
) -> tuple[Tensor, Tensor]:
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


@dataclass(frozen=True)
class _Array:
    """Images of one size in memory, uint8 (N, H, W, C)."""

    pixels: Pixels
    arch: ArchSpec
    where: str

    @property
    def count(self) -> int:
        return len(self.pixels)

    def __call__(self, numbers: Sequence[int]) -> Tensor:
        images = torch.from_numpy(self.pixels[list(numbers)]).permute(0, 3, 1, 2).float()
        side = self.arch.resolution
        if tuple(images.shape[2:]) != (side, side):
            images = F.interpolate(images, (side, side), mode="bilinear", antialias=True)
            images = images.round_().clamp_(0, 255)
        return match_channels(images / 255, self.arch.in_channels, self.where)


@dataclass(frozen=True)
class _Files:
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


def _from_npz(
    stream: BinaryIO, where: str, arch: ArchSpec, part: Part
) -> tuple[str, _Array, NDArray[np.int64] | None]:
    first, second = ("x_train", "x_test") if part == "train" else ("x_test", "x_train")
    try:
        with np.load(stream, allow_pickle=False) as arrays:
            names = list(arrays.files)
            name = next((n for n in (first, second, "images") if n in names), None)
            if name is None:
                raise ExportError(
                    f"{where} has arrays {', '.join(names) or 'none'}; expected x_test and "
                    "y_test, x_train and y_train, or images and labels"
                )
            pixels = arrays[name]
            label_name = "labels" if name == "images" else name.replace("x_", "y_")
            labels = arrays[label_name] if label_name in names else None
    except (
        OSError,
        ValueError,
        EOFError,
        KeyError,
        AttributeError,
        NotImplementedError,
        zlib.error,
        BadZipFile,
    ) as error:
        raise ExportError(f"cannot read {where}: {_one_line(error)}") from None
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
    return f"{where} ({name})", _Array(pixels, arch, where), labels


def _from_folder(
    folder: Path, arch: ArchSpec, num_classes: int, part: Part, labels: Labels, crop: float
) -> tuple[str, _Files, NDArray[np.int64] | None]:
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
        return str(folder), _Files(_some(flat, folder), arch, crop), None
    if len(classes) != num_classes:
        raise ExportError(
            f"{folder} has {len(classes)} class folders ({classes[0].name} …); expected "
            f"{num_classes}, the num_classes of the network"
        )
    paths = _some([path for each in members for path in each], folder)
    numbers = [number for number, each in enumerate(members) for _ in each]
    return str(folder), _Files(paths, arch, crop), np.array(numbers, dtype=np.int64)


def _labelled_by_name(
    folder: Path, arch: ArchSpec, crop: float
) -> tuple[str, _Files, NDArray[np.int64]]:
    """`imagenet_00_243.jpg` → 243."""
    paths = _some(_image_files(folder, "*"), folder)
    labels = []
    for path in paths:
        numbers = re.findall(r"\d+", path.stem)
        if not numbers:
            raise ExportError(f"{path} has no number in its name to be its label")
        labels.append(int(numbers[-1]))
    if max(labels) >= 2**31:
        raise ExportError(f"{folder}: label {max(labels)} in a file name is no class")
    return str(folder), _Files(paths, arch, crop), np.array(labels, dtype=np.int64)


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
        ExportError: not an image, or a damaged one.
    """
    try:
        with Image.open(path) as image:
            if image.mode in ("I", "F"):
                raise ValueError(f"mode {image.mode} (32 bits a pixel) has no fixed range")
            upright: Image.Image = ImageOps.exif_transpose(image)
            if upright.mode.startswith("I;16"):
                wide = np.asarray(upright).astype(np.uint16)
                upright = Image.fromarray((wide >> 8).astype(np.uint8))
            pixels = upright.convert("L" if upright.mode in ("1", "L") else "RGB")
    except (
        OSError,
        ValueError,
        SyntaxError,
        EOFError,
        IndexError,
        TypeError,
        zlib.error,
        struct.error,
        Image.DecompressionBombError,
    ) as error:
        raise ExportError(f"cannot decode image {path}: {_one_line(error)}") from None
    if max(pixels.size) > _MOST_ELONGATED * min(pixels.size):
        raise ExportError(f"image {path} is {pixels.width}×{pixels.height}: too narrow to crop")
    scale = max(resolution, round(resolution / crop)) / min(pixels.size)
    size = (
        max(resolution, round(pixels.width * scale)),
        max(resolution, round(pixels.height * scale)),
    )
    pixels = pixels.resize(size, Image.Resampling.BICUBIC)
    left, top = (size[0] - resolution) // 2, (size[1] - resolution) // 2
    pixels = pixels.crop((left, top, left + resolution, top + resolution))
    array = np.array(pixels, dtype=np.uint8)
    return array[:, :, None] if array.ndim == 2 else array


def _shape(array: NDArray[Any]) -> str:
    return "×".join(map(str, array.shape))


def _one_line(error: BaseException) -> str:
    return one_line(error) or type(error).__name__
