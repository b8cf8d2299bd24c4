"""Data sets as tensors in memory, their splits, and batches of them.

The search trains on `train` and steers by `val`; `test` is read once, at the end. A split
that the data set lacks is carved out of train by the SHA-256 of each image, so it stays the
same on every machine and run, and equal images never sit on both sides.
"""

import gzip
import hashlib
import io
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
from torch import Tensor

from blocks.errors import one_line
from search.config.schema import DatasetConfig
from search.data.augment import Augmentation, augment, cut_and_mix
from search.data.cache import Stored, cache_folder, cache_key, content_hashes, load_or_build
from search.data.folder import ImageFolder, decode_folder, list_folder
from search.errors import DataError


@dataclass(frozen=True)
class Split:
    """`images`: uint8 (N, C, H, W), in channels-last memory as loaded; `labels`: int64 (N,)."""

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
    cache = cache_folder(config.cache) if config.name == "imagefolder" else None
    if cache is not None:
        return _cached_folder(config, image_size, cache)
    return _assemble(config, DATASETS[config.name](config, image_size))


def _assemble(config: DatasetConfig, raw: _Raw) -> ImageData:
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
            pixels = everything.images.permute(0, 2, 3, 1).index_select(0, rows)
            splits[part] = Split(pixels.permute(0, 3, 1, 2), everything.labels[rows])
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
        pixels = images[..., None] if images.ndim == 3 else images
        splits[part] = Split(
            torch.from_numpy(pixels).permute(0, 3, 1, 2),
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
    file = resources.files("blocks.embedded") / "fashion_mnist_6000_2000.npz"
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
    return _decoded(list_folder(_root(config)), config, image_size)


def _decoded(folder: ImageFolder, config: DatasetConfig, image_size: int) -> _Raw:
    decoded = decode_folder(folder, image_size, config.on_corrupt)
    splits = {
        part: Split(torch.from_numpy(images).permute(0, 3, 1, 2), torch.from_numpy(labels))
        for (part, images), labels in zip(
            decoded.images.items(), decoded.labels.values(), strict=True
        )
    }
    return _Raw(folder.classes, splits, decoded.hashes, decoded.skipped)


def _cached_folder(config: DatasetConfig, image_size: int, cache: Path) -> ImageData:
    """The same images, decoded once and then mapped from a file of the cache."""
    root = _root(config)
    folder = list_folder(root)
    names = [str(file.path.relative_to(root)) for file in folder.files]

    def identity() -> str:
        contents = content_hashes(root, names, cache)
        return cache_key(
            [
                *(list(folder.classes), list(folder.parts), image_size, config.on_corrupt),
                *(config.val_fraction, config.test_fraction),
                [
                    [file.part, file.label, name, content]
                    for file, name, content in zip(folder.files, names, contents, strict=True)
                ],
            ]
        )

    def build() -> Stored:
        data = _assemble(config, _decoded(folder, config, image_size))
        tensors = {}
        for part in ("train", "val", "test"):
            split: Split = getattr(data, part)
            tensors[f"{part}.images"] = split.images.permute(0, 2, 3, 1).contiguous()
            tensors[f"{part}.labels"] = split.labels
        skipped = [str(Path(path).relative_to(root)) for path in data.skipped]
        return Stored(tensors, {"sha256": data.sha256, "skipped": skipped})

    stored = load_or_build(cache, identity, build)
    train, val, test = (
        Split(
            stored.tensors[f"{part}.images"].permute(0, 3, 1, 2), stored.tensors[f"{part}.labels"]
        )
        for part in ("train", "val", "test")
    )
    return ImageData(
        config.name,
        folder.classes,
        train,
        val,
        test,
        stored.fields["sha256"],
        tuple(str(root / name) for name in stored.fields["skipped"]),
    )


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
        # Channels first: the kernel for channels last rounds otherwise.
        F.interpolate(
            chunk.to(torch.float32, memory_format=torch.contiguous_format),
            (resolution, resolution),
            mode="bilinear",
            antialias=True,
        )
        .round_()
        .clamp_(0, 255)
        .to(torch.uint8, memory_format=torch.channels_last)
        for chunk in torch.split(images, 4096)
    ]
    return torch.cat(chunks)


def shrink(images: Tensor, side: int) -> Tensor:
    """float (N, C, H, W) → float (N, C, side, side), antialiased bilinear."""
    if images.shape[-1] == side:
        return images
    return F.interpolate(images, (side, side), mode="bilinear", antialias=True)


PREPARED: Final = 4
"""Resolutions that a process keeps its images at."""


@dataclass(frozen=True)
class Batches:
    """Splits at one resolution, normalised by the training split's own mean and deviation.

    Images lie in channels-last memory, so that batches need no other.
    """

    train: Split
    val: Split
    test: Split
    mean: Tensor
    std: Tensor

    def normalise(self, images: Tensor) -> Tensor:
        """uint8 (N, C, H, W) → float32 in channels-last memory, mean 0 and deviation 1."""
        count, channels, height, width = images.shape
        # Lines as long as an image, for which channels-last images are not copied first.
        mean, std = (moment.flatten().repeat(height * width) for moment in (self.mean, self.std))
        pixels = images.permute(0, 2, 3, 1).contiguous().view(count, -1)
        scaled = pixels.float().sub_(mean).div_(std)
        if channels == 1:  # both layouts are the same: the strides that convolutions know best
            return scaled.view(images.shape)
        return scaled.view(count, height, width, channels).permute(0, 3, 1, 2)

    def shuffled(
        self,
        batch_size: int,
        augmentation: Augmentation,
        num_classes: int,
        generator: torch.Generator,
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """One epoch of augmented training batches; a last batch below batch_size is dropped
        unless it is the only one. Labels are int64 (N,), or float (N, num_classes) if mixed."""
        order = torch.randperm(len(self.train), generator=generator)
        # index_select copies whole images where indexing copies bytes: some 20 times faster.
        pixels = self.train.images.permute(0, 2, 3, 1)
        for chosen in torch.split(order, batch_size):
            if len(chosen) < min(batch_size, len(order)):
                return
            images = pixels.index_select(0, chosen).permute(0, 3, 1, 2)
            images = self.normalise(augment(images, augmentation, generator))
            labels = self.train.labels[chosen]
            yield cut_and_mix(images, labels, num_classes, augmentation, generator)


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


@lru_cache(maxsize=PREPARED)
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
