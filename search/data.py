"""Data sets as tensors in memory, their splits, and batched augmentation.

The search trains on `train` and steers by `val`; `test` is read once, at the end. A split
that the data set lacks is carved out of train by the SHA-256 of each image, so it stays the
same on every machine and run, and equal images never sit on both sides.
"""

import gzip
import hashlib
import io
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Any, Final
from zipfile import BadZipFile

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from blocks.errors import one_line
from search.config import DatasetConfig
from search.errors import DataError

IMAGE_SUFFIXES: Final = (".jpg", ".jpeg", ".png", ".bmp", ".ppm", ".pgm", ".webp", ".tif", ".tiff")


@dataclass(frozen=True)
class Split:
    """`images`: uint8 (N, C, H, W); `labels`: int64 (N,)."""

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class ImageData:
    """A data set ready for training. `sha256` covers every image, label and split."""

    name: str
    classes: tuple[str, ...]
    train: Split
    val: Split
    test: Split
    sha256: str
    skipped: tuple[str, ...] = ()

    @property
    def in_channels(self) -> int:
        """1 for grey images, 3 for RGB."""
        return int(self.train.images.shape[1])

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return len(self.classes)


@dataclass(frozen=True)
class _Raw:
    """What a reader found: arrays per named split, and each image's content hash."""

    classes: tuple[str, ...]
    splits: dict[str, Split]
    hashes: dict[str, list[bytes]]
    skipped: tuple[str, ...] = ()


def load_data(config: DatasetConfig, proxy_resolution: int) -> ImageData:
    """Read the data set, carve the splits it lacks, and hash it.

    Raises:
        DataError: nothing there, unreadable, one class only, or a class too small to split.
    """
    image_size = config.image_size or round(1.5 * proxy_resolution)
    raw = DATASETS[config.name](config, image_size)
    if len(raw.classes) < 2:
        raise DataError(
            f"dataset {config.name} ({_root(config)}) has one class only, "
            f"{', '.join(raw.classes)!r}; expected two or more"
        )
    splits, hashes = _carve_missing(raw, config)
    digest = hashlib.sha256()
    for part in ("train", "val", "test"):
        digest.update(part.encode())
        for image_hash, label in sorted(
            zip(hashes[part], splits[part].labels.tolist(), strict=True)
        ):
            digest.update(image_hash + label.to_bytes(4, "little"))
    return ImageData(
        config.name,
        raw.classes,
        splits["train"],
        splits["val"],
        splits["test"],
        digest.hexdigest(),
        raw.skipped,
    )


def _carve_missing(
    raw: _Raw, config: DatasetConfig
) -> tuple[dict[str, Split], dict[str, list[bytes]]]:
    splits, hashes = dict(raw.splits), dict(raw.hashes)
    twins: dict[bytes, list[int]] = {}
    for index, image_hash in enumerate(hashes["train"]):
        twins.setdefault(image_hash, []).append(index)
    wanted = {
        "val": config.val_fraction if "val" not in splits else 0.0,
        "test": config.test_fraction if "test" not in splits else 0.0,
    }
    labels = splits["train"].labels
    places = np.array([_place(image_hash, wanted) for image_hash in hashes["train"]], dtype=object)
    for number, name in enumerate(raw.classes):
        members = (labels == number).nonzero().flatten().tolist()
        # Small classes may draw no image for a part: the lowest hashes fill it.
        by_hash = sorted(members, key=lambda index: hashes["train"][index])
        needed = ["train", *(part for part, share in wanted.items() if share > 0)]
        if len({hashes["train"][index] for index in members}) < len(needed):
            raise DataError(
                f"class {name!r} of dataset {config.name} ({_root(config)}) has {len(members)} "
                f"image(s) to split into {' and '.join(needed)}; expected {len(needed)} or more "
                "different ones"
            )
        for part in needed:
            if not any(places[index] == part for index in members):
                spare = next(
                    index
                    for index in by_hash
                    if len({hashes["train"][i] for i in members if places[i] == places[index]}) > 1
                )
                # Equal images stay together, whatever their class.
                places[twins[hashes["train"][spare]]] = part
    everything, every_hash = splits["train"], hashes["train"]
    for part in ("train", "val", "test"):
        if part == "train" or wanted[part] > 0:
            chosen = np.flatnonzero(places == part)
            rows = torch.from_numpy(chosen)
            splits[part] = Split(everything.images[rows], everything.labels[rows])
            hashes[part] = [every_hash[place] for place in chosen]
    return splits, hashes


def _place(image_hash: bytes, wanted: dict[str, float]) -> str:
    """The part an image falls into: a fixed point in [0, 1) against the shares asked for."""
    point = int.from_bytes(image_hash[:8], "big") / 2**64
    if point < wanted["val"]:
        return "val"
    return "test" if point < wanted["val"] + wanted["test"] else "train"


def _from_arrays(
    classes: tuple[str, ...], parts: dict[str, tuple[NDArray[Any], NDArray[Any]]], where: str
) -> _Raw:
    splits: dict[str, Split] = {}
    hashes: dict[str, list[bytes]] = {}
    for part, (images, labels) in parts.items():
        if images.dtype != np.uint8 or images.ndim not in (3, 4):
            raise DataError(
                f"{where}: x_{part} is {images.dtype} of {images.ndim} dimensions; expected "
                "uint8 N×H×W or N×H×W×C"
            )
        if len(images) != len(labels) or not len(labels):
            raise DataError(f"{where}: {len(images)} {part} images but {len(labels)} labels")
        if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer):
            raise DataError(f"{where}: y_{part} is not a vector of whole numbers")
        if labels.min() < 0 or labels.max() >= len(classes):
            raise DataError(
                f"{where}: {part} labels span {labels.min()} to {labels.max()}; expected 0 to "
                f"{len(classes) - 1}"
            )
        images = np.ascontiguousarray(images)
        hashes[part] = [hashlib.sha256(image.tobytes()).digest() for image in images]
        planes = images[:, None] if images.ndim == 3 else np.moveaxis(images, 3, 1)
        splits[part] = Split(
            torch.from_numpy(np.ascontiguousarray(planes)),
            torch.from_numpy(labels.astype(np.int64)),
        )
    channels = {part: split.images.shape[1] for part, split in splits.items()}
    if len(set(channels.values())) > 1:
        raise DataError(f"{where}: splits differ in channels: {channels}")
    return _Raw(classes, splits, hashes)


def _read_npz(stream: Any, where: str, classes: tuple[str, ...] | None) -> _Raw:
    try:
        with np.load(stream, allow_pickle=False) as arrays:
            found = {name: arrays[name] for name in arrays.files}
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
        raise DataError(f"cannot read {where}: {_one_line(error)}") from None
    for name in ("x_train", "y_train"):
        if name not in found:
            raise DataError(f"{where} lacks array {name!r}; it has {', '.join(found) or 'none'}")
    parts = {
        part: (found[f"x_{part}"], found[f"y_{part}"])
        for part in ("train", "val", "test")
        if f"x_{part}" in found and f"y_{part}" in found
    }
    if classes is None:
        labels = found["y_train"]
        if not (labels.size and np.issubdtype(labels.dtype, np.integer)):
            raise DataError(f"{where}: y_train is not a vector of whole numbers")
        if labels.max() >= len(labels):
            raise DataError(
                f"{where}: y_train goes up to {labels.max()} with {len(labels)} images; expected "
                "labels 0, 1, 2, …"
            )
        classes = tuple(str(label) for label in range(int(labels.max()) + 1))
    return _from_arrays(classes, parts, where)


def _load_npz(config: DatasetConfig, image_size: int) -> _Raw:
    path = _root(config)
    try:
        with path.open("rb") as stream:
            return _read_npz(stream, str(path), None)
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from None


FASHION_CLASSES: Final = (
    "t-shirt", "trouser", "pullover", "dress", "coat",
    "sandal", "shirt", "sneaker", "bag", "ankle boot",
)  # fmt: skip


def _load_fashion_mnist(config: DatasetConfig, image_size: int) -> _Raw:
    file = resources.files("search") / "embedded" / "fashion_mnist_6000_2000.npz"
    return _read_npz(io.BytesIO(file.read_bytes()), "embedded Fashion-MNIST", FASHION_CLASSES)


def _load_fashion_mnist_full(config: DatasetConfig, image_size: int) -> _Raw:
    """idx files in root, plain or gzipped, or torchvision's own layout under root."""
    from torchvision.datasets import FashionMNIST
    from torchvision.datasets.mnist import read_image_file, read_label_file

    root = _root(config)
    if config.download:
        _torchvision(FashionMNIST, config, train=True)
    folder = root / "FashionMNIST" / "raw" if (root / "FashionMNIST" / "raw").is_dir() else root

    def read(name: str, reader: Callable[[str], Tensor]) -> NDArray[Any]:
        plain, packed = folder / name, folder / f"{name}.gz"
        path = plain if plain.exists() else packed
        try:
            if path == plain:
                return reader(str(plain)).numpy()
            # torchvision reads plain files only.
            import tempfile

            with tempfile.NamedTemporaryFile() as unpacked:
                unpacked.write(gzip.decompress(packed.read_bytes()))
                unpacked.flush()
                return reader(unpacked.name).numpy()
        except (OSError, ValueError, EOFError, AssertionError, RuntimeError, zlib.error) as error:
            raise DataError(f"cannot read {path}: {_one_line(error)}") from None

    parts = {
        part: (
            read(f"{prefix}-images-idx3-ubyte", read_image_file),
            read(f"{prefix}-labels-idx1-ubyte", read_label_file),
        )
        for part, prefix in (("train", "train"), ("test", "t10k"))
    }
    return _from_arrays(FASHION_CLASSES, parts, str(folder))


def _load_cifar(config: DatasetConfig, image_size: int) -> _Raw:
    from torchvision.datasets import CIFAR10, CIFAR100

    kind = CIFAR10 if config.name == "cifar10" else CIFAR100
    parts = {}
    classes: tuple[str, ...] = ()
    for part in ("train", "test"):
        data = _torchvision(kind, config, train=part == "train")
        parts[part] = (np.asarray(data.data), np.asarray(data.targets))
        classes = tuple(data.classes)
    return _from_arrays(classes, parts, str(_root(config)))


def _torchvision(kind: Any, config: DatasetConfig, train: bool) -> Any:
    """A torchvision data set; it checks the files' published MD5 sums before unpickling."""
    try:
        return kind(str(_root(config)), train=train, download=config.download)
    except (RuntimeError, OSError, ValueError) as error:
        raise DataError(
            f"cannot read dataset {config.name} in {_root(config)}: {_one_line(error)} "
            "(dataset.download=true fetches it)"
        ) from None


def _load_imagefolder(config: DatasetConfig, image_size: int) -> _Raw:
    root = _root(config)
    if not root.is_dir():
        raise DataError(f"dataset.root={root} is not a folder; expected one folder per class")
    try:
        folders = _class_folders(root)
    except OSError as error:
        raise DataError(f"cannot list dataset.root={root}: {error.strerror}") from None
    named = {path.name: path for path in folders if path.name in ("train", "val", "test")}
    if named and "train" not in named:
        raise DataError(f"dataset.root={root} has {', '.join(named)} but no train folder")
    parts = named or {"train": root}
    classes = tuple(path.name for path in _class_folders(parts["train"]))
    if not classes:
        raise DataError(f"dataset.root={parts['train']} holds no class folders")
    decoded: dict[str, tuple[list[NDArray[np.uint8]], list[int], list[bytes]]] = {}
    skipped: list[str] = []
    for part, folder in parts.items():
        images, labels, hashes = decoded.setdefault(part, ([], [], []))
        strangers = {path.name for path in _class_folders(folder)} - set(classes)
        if strangers and part != "train":
            raise DataError(
                f"{folder} holds class {min(strangers)!r}, which {parts['train']} has not"
            )
        for label, name in enumerate(classes):
            before = len(labels)
            for path in _image_files(folder / name):
                try:
                    image, content = _decode(path, image_size)
                except DataError as error:
                    if config.on_corrupt == "refuse":
                        raise DataError(
                            f"{error}; dataset.on_corrupt=skip leaves such files out"
                        ) from None
                    skipped.append(str(path))
                    continue
                images.append(image)
                labels.append(label)
                hashes.append(content)
            if len(labels) == before and part == "train":
                raise DataError(
                    f"class folder {folder / name} holds no readable image "
                    f"({', '.join(IMAGE_SUFFIXES)})"
                )
        if not labels:
            raise DataError(f"{folder} holds no readable image")
    # One RGB image makes the whole set RGB.
    channels = max(image.shape[2] for images, _, _ in decoded.values() for image in images)
    splits = {}
    for part, (images, labels, _) in decoded.items():
        stack = np.stack([np.broadcast_to(i, (*i.shape[:2], channels)) for i in images])
        splits[part] = Split(
            torch.from_numpy(np.ascontiguousarray(stack.transpose(0, 3, 1, 2))),
            torch.tensor(labels, dtype=torch.int64),
        )
    return _Raw(classes, splits, {p: d[2] for p, d in decoded.items()}, tuple(skipped))


def _class_folders(root: Path) -> list[Path]:
    return sorted(p for p in root.iterdir() if p.is_dir() and not p.name.startswith("."))


def _image_files(folder: Path) -> Iterator[Path]:
    if folder.is_dir():
        for path in sorted(folder.rglob("*")):
            if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file():
                yield path


def _decode(path: Path, image_size: int) -> tuple[NDArray[np.uint8], bytes]:
    """The image, its shorter side resized to `image_size` and its centre cut out; its hash."""
    try:
        content = path.read_bytes()
        with Image.open(io.BytesIO(content)) as image:
            if image.mode in ("I", "F"):
                raise ValueError(f"mode {image.mode} (32 bits a pixel) has no fixed range")
            pixels = ImageOps.exif_transpose(image)
            if pixels.mode.startswith("I;16"):
                wide = np.asarray(pixels).astype(np.uint16)
                pixels = Image.fromarray((wide >> 8).astype(np.uint8))
            pixels = pixels.convert("L" if pixels.mode in ("1", "L") else "RGB")
    except (
        OSError,
        UnidentifiedImageError,
        ValueError,
        SyntaxError,
        EOFError,
        IndexError,
        TypeError,
        zlib.error,
        struct.error,
    ) as error:
        raise DataError(f"cannot decode image {path}: {_one_line(error)}") from None
    except Image.DecompressionBombError as error:
        raise DataError(f"image {path} is refused: {_one_line(error)}") from None
    scale = image_size / min(pixels.size)
    size = (
        max(image_size, round(pixels.width * scale)),
        max(image_size, round(pixels.height * scale)),
    )
    pixels = pixels.resize(size, Image.Resampling.BILINEAR)
    left, top = (size[0] - image_size) // 2, (size[1] - image_size) // 2
    pixels = pixels.crop((left, top, left + image_size, top + image_size))
    array = np.asarray(pixels, dtype=np.uint8)
    return array[:, :, None] if array.ndim == 2 else array, hashlib.sha256(content).digest()


def _root(config: DatasetConfig) -> Path:
    if config.root is None:
        if config.name == "fashion_mnist":
            return Path("embedded")
        raise DataError(f"dataset.root is missing: where are the images of {config.name}?")
    return Path(config.root).expanduser()


def _one_line(error: BaseException) -> str:
    return one_line(error) or type(error).__name__


DATASETS: Final[dict[str, Callable[[DatasetConfig, int], _Raw]]] = {
    "fashion_mnist": _load_fashion_mnist,
    "fashion_mnist_full": _load_fashion_mnist_full,
    "cifar10": _load_cifar,
    "cifar100": _load_cifar,
    "imagefolder": _load_imagefolder,
    "npz": _load_npz,
}


def resize(images: Tensor, resolution: int) -> Tensor:
    """uint8 (N, C, H, W) → uint8 (N, C, resolution, resolution), antialiased bilinear."""
    if tuple(images.shape[2:]) == (resolution, resolution):
        return images
    chunks = [
        F.interpolate(chunk.float(), (resolution, resolution), mode="bilinear", antialias=True)
        .round_()
        .clamp_(0, 255)
        .to(torch.uint8)
        for chunk in torch.split(images, 4096)
    ]
    return torch.cat(chunks)


@dataclass(frozen=True)
class Batches:
    """Splits at one resolution, normalised by the training split's own mean and deviation."""

    train: Split
    val: Split
    test: Split
    mean: Tensor
    std: Tensor

    def normalise(self, images: Tensor) -> Tensor:
        """uint8 (N, C, H, W) → float32 in channels-last memory, mean 0 and deviation 1."""
        scaled = images.float().sub_(self.mean).div_(self.std)
        return scaled.contiguous(memory_format=torch.channels_last)

    def shuffled(
        self, batch_size: int, flip: bool, padding: int, generator: torch.Generator
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """One epoch of augmented training batches; a last batch below batch_size is dropped
        unless it is the only one."""
        order = torch.randperm(len(self.train), generator=generator)
        for chosen in torch.split(order, batch_size):
            if len(chosen) < min(batch_size, len(order)):
                return
            images = augment(self.train.images[chosen], flip, padding, generator)
            yield self.normalise(images), self.train.labels[chosen]


def augment(images: Tensor, flip: bool, padding: int, generator: torch.Generator) -> Tensor:
    """Batched horizontal flip and shifted crop, drawn per image; (N, C, H, W) stays."""
    count, channels, height, width = images.shape
    if flip:
        mirrored = torch.rand(count, generator=generator) < 0.5
        images = torch.where(mirrored[:, None, None, None], images.flip(3), images)
    if padding:
        padded = F.pad(images, (padding,) * 4)
        shift = torch.randint(0, 2 * padding + 1, (2, count), generator=generator)
        rows = (shift[0, :, None] + torch.arange(height))[:, None, :, None]
        columns = (shift[1, :, None] + torch.arange(width))[:, None, None, :]
        sample = torch.arange(count)[:, None, None, None]
        images = padded[sample, torch.arange(channels)[None, :, None, None], rows, columns]
    return images


def prepare(data: ImageData, resolution: int) -> Batches:
    """`data` at `resolution` pixels; cached, since candidates share a resolution."""
    return _prepare(_ById(data), resolution)


def normalisation(data: ImageData, resolution: int) -> tuple[list[float], list[float]]:
    """Mean and deviation per channel that `prepare` normalises by, of pixels in 0…1."""
    batches = prepare(data, resolution)
    return (batches.mean.flatten() / 255).tolist(), (batches.std.flatten() / 255).tolist()


class _ById:
    """Hashable handle of a data set: two loads of one set are one key."""

    def __init__(self, data: ImageData) -> None:
        self.data = data

    def __hash__(self) -> int:
        return hash(self.data.sha256)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, _ById)
            and other.data.sha256 == self.data.sha256
            and other.data.train.images.shape == self.data.train.images.shape
        )


@lru_cache(maxsize=4)
def _prepare(handle: _ById, resolution: int) -> Batches:
    data = handle.data
    train, val, test = (
        Split(resize(split.images, resolution), split.labels)
        for split in (data.train, data.val, data.test)
    )
    moments = [_moments(plane) for plane in train.images.unbind(1)]
    mean, std = torch.tensor(moments, dtype=torch.float32).T.reshape(2, 1, -1, 1, 1)
    return Batches(train, val, test, mean, std.clamp_min(1e-3))


def _moments(plane: Tensor) -> tuple[float, float]:
    """Mean and deviation of uint8 pixels, exact and without a float copy: by histogram."""
    counts = torch.bincount(plane.flatten(), minlength=256).double()
    values = torch.arange(256, dtype=torch.float64)
    mean = (counts @ values) / counts.sum()
    return mean.item(), ((counts @ (values - mean) ** 2) / counts.sum()).sqrt().item()
