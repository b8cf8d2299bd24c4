"""A data set's three splits, and how the missing ones are carved out of train.

The search trains on `train` and steers by `val`; `test` is read once, at the end. A split
that the data set lacks is carved out of train by the SHA-256 of each image, or of its group, so it
stays the same on every machine and run, and equal images never sit on both sides.
"""

import hashlib
import struct
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from blocks.images.reading import USUAL, Reading, decoded_to
from blocks.images.walk import Passed
from blocks.names import counted
from search.config.schema import DatasetConfig
from search.data.across import across
from search.data.folds import deal
from search.errors import DataError

if TYPE_CHECKING:
    from search.data.streamed import Files

PARTS: Final = ("train", "val", "test")
FILES: Final = ("imagefolder", "table")
"""Data sets of image files."""
FEW: Final = 20
"""Images of a class in a part, on average: below, chance would make it too large or too small."""
Rows = NDArray[np.int64]
Weights = NDArray[np.float64]
Labels = NDArray[np.integer[Any]]
"""int64 (N,): the class of each image; or uint8 (N, K): 1 for each of K labels that it has."""


@dataclass(frozen=True)
class Split:
    """`images`: uint8 (N, C, H, W), in channels-last memory as loaded; `labels`: int64 (N,), or
    uint8 (N, K) of 0 and 1 where an image may have several of K labels. `weights`: float64 (N,),
    how often an image is trained on, relative to others; None: all alike. `files`: where the pixels
    are, if they are streamed; `images` then has a shape alone."""

    images: Tensor
    labels: Tensor
    weights: Tensor | None = None
    files: "Files | None" = None

    def __len__(self) -> int:
        return len(self.labels)

    def with_images(self, images: Tensor) -> "Split":
        """The same with other pixels."""
        return replace(self, images=images)

    def between(self, start: int, end: int) -> "Split":
        """A view of the images from position `start` to before `end`."""
        weights = None if self.weights is None else self.weights[start:end]
        return Split(self.images[start:end], self.labels[start:end], weights)

    def image(self, number: int) -> Tensor:
        """One image, uint8 (H, W, C).

        Raises:
            DataError: it is streamed, and its file can no longer be read.
        """
        if self.files is not None:
            return self.files.pixels(number)
        return self.images[number].permute(1, 2, 0)

    def rows(self, rows: Tensor) -> "Split":
        """The images at these positions, as they lie in memory, channels last."""
        pixels = self.images.permute(0, 2, 3, 1).index_select(0, rows).permute(0, 3, 1, 2)
        weights = None if self.weights is None else self.weights[rows]
        files = None if self.files is None else self.files.chosen(rows)
        return Split(pixels, self.labels[rows], weights, files)


@dataclass(frozen=True)
class ImageData:
    """A data set ready for training. `sha256` covers every image, label and split.

    `passed`: files that were not read, and why. `notes`: what else is to be said of the images, in
    lines. `reading`: how files became pixels. `home`: the folder of the cache that holds them,
    where they are mapped from a file. `folds`: with `dataset.folds` the fold of each image of
    train, from 1; val is the first one, 0. `rows`: where near duplicates are kept together, what
    each split has of the files that were not passed over.
    """

    name: str
    classes: tuple[str, ...]
    train: Split
    val: Split
    test: Split
    sha256: str
    passed: tuple[Passed, ...] = ()
    notes: tuple[str, ...] = ()
    reading: Reading = USUAL
    home: Path | None = None
    folds: Tensor | None = None
    rows: dict[str, Rows] | None = None

    @property
    def files(self) -> bool:
        """Whether the images are decoded from files, and not arrays."""
        return self.name in FILES

    @property
    def in_channels(self) -> int:
        """1 for grey images, 3 for RGB."""
        return int(self.train.images.shape[1])

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return len(self.classes)

    @property
    def several(self) -> bool:
        """Whether an image may have several labels."""
        return self.train.labels.ndim == 2

    @property
    def judging(self) -> int:
        """Images that the final round validates on: of val, or of all folds."""
        return len(self.val) + (0 if self.folds is None else len(self.train))


@dataclass(frozen=True)
class Raw:
    """What a reader found, image by image: the split each lies in, its label, the hash of its
    contents, and the group it belongs to (itself, where `groups` is None).

    `read` gives the images of some rows of one part, uint8 (n, H, W, C), a few thousand at a time.
    `paths`: the file of each image. `together`: a number, (images,), which those have in common
    that no split may part, whatever their groups. `weights`: as `Split`'s.
    """

    classes: tuple[str, ...]
    parts: tuple[str, ...]
    labels: Labels
    hashes: tuple[bytes, ...]
    read: Callable[[Rows], Iterator[Tensor]]
    groups: tuple[str, ...] | None = None
    passed: tuple[Passed, ...] = ()
    notes: tuple[str, ...] = ()
    reading: Reading = USUAL
    paths: tuple[str, ...] | None = None
    together: Rows | None = None
    weights: Weights | None = None


@dataclass(frozen=True)
class Divided:
    """The rows of a `Raw` that each split has, and the hash of it all; `folds` as `ImageData`'s."""

    rows: dict[str, Rows]
    sha256: str
    notes: tuple[str, ...]
    folds: Rows | None = None


def assemble(
    config: DatasetConfig, raw: Raw, files: "Callable[[Rows], Files] | None" = None
) -> ImageData:
    """The data set, the splits it lacks carved out of train, and its hash: in memory, or with
    `files` streamed from those of the given rows.

    Raises:
        DataError: one class only, or a class too small to split.
    """
    divided = divide(config, raw)

    def split(rows: Rows) -> Split:
        own = None if files is None else files(rows)
        return Split(
            torch.cat(list(raw.read(rows))).permute(0, 3, 1, 2) if own is None else own.empty,
            torch.from_numpy(raw.labels[rows]),
            None if raw.weights is None else torch.from_numpy(raw.weights[rows]),
            own,
        )

    train, val, test = (split(divided.rows[part]) for part in PARTS)
    return ImageData(
        config.name,
        raw.classes,
        train,
        val,
        test,
        divided.sha256,
        raw.passed,
        divided.notes,
        raw.reading if raw.paths is None else decoded_to(raw.reading, *train.images.shape[2:]),
        folds=None if divided.folds is None else torch.from_numpy(divided.folds),
        rows=None if raw.together is None else divided.rows,
    )


def divide(config: DatasetConfig, raw: Raw) -> Divided:
    """Which image is in which split.

    Raises:
        DataError: one class only, or a class too small to split.
    """
    if len(raw.classes) < 2:
        raise DataError(
            f"dataset {config.name} ({root_of(config)}) has one class only, "
            f"{', '.join(raw.classes)!r}; expected two or more"
        )
    parts = np.array(raw.parts, dtype=object)
    parts[parts == "train"] = _carve(config, raw, np.flatnonzero(parts == "train"))
    folds, notes = None, []
    if config.folds is not None:
        # The test images are those that they would be without folds.
        left = np.flatnonzero(parts != "test")
        folds = _in_folds(config, raw, left)
        parts[left] = np.where(folds == 0, "val", "train")
        sizes = np.bincount(folds)
        notes = [
            f"{config.folds} folds of {sizes.min():,} to {sizes.max():,} images: one is val, and "
            f"in the final round all {len(left):,} judge"
        ]
        folds = folds[folds > 0]
    rows = {part: np.flatnonzero(parts == part) for part in PARTS}
    digest = hashlib.sha256()
    for part in PARTS:
        digest.update(part.encode())
        if raw.labels.ndim == 2:
            for each in sorted(raw.hashes[row] + raw.labels[row].tobytes() for row in rows[part]):
                digest.update(each)
            continue
        pairs = [(raw.hashes[row], int(raw.labels[row])) for row in rows[part]]
        for image_hash, label in sorted(pairs):
            digest.update(image_hash + label.to_bytes(4, "little"))
    if folds is not None:
        digest.update(b"folds")
        for image_hash, fold in sorted(
            (raw.hashes[row], int(fold)) for row, fold in zip(rows["train"], folds, strict=True)
        ):
            digest.update(image_hash + fold.to_bytes(4, "little"))
    if raw.weights is not None:
        digest.update(b"weights")
        for image_hash, weight in sorted(
            (raw.hashes[row], float(raw.weights[row])) for row in rows["train"]
        ):
            digest.update(image_hash + struct.pack("<d", weight))
        _check_weights(raw, rows["train"])
    notes += across(raw, rows)
    return Divided(rows, digest.hexdigest(), (*raw.notes, *notes), folds)


def _check_weights(raw: Raw, train: Rows) -> None:
    assert raw.weights is not None
    own, classes = raw.weights[train], raw.labels.ndim == 1
    totals = np.bincount(raw.labels[train], own) if classes else own.sum(keepdims=True)
    empty = np.flatnonzero(totals == 0)
    if len(empty):
        of = f" of class {raw.classes[empty[0]]!r}" if classes else ""
        raise DataError(f"all training images{of} have the weight 0")


def _in_folds(config: DatasetConfig, raw: Raw, rows: Rows) -> Rows:
    """Of each of these images its fold.

    Raises:
        DataError: the data set has its own val split, or a class cannot be divided.
    """
    where = f"dataset {config.name} ({root_of(config)})"
    if "val" in raw.parts:
        raise DataError(
            f"dataset.folds={config.folds} would divide train and val anew, but {where} has a val "
            "split of its own; expected dataset.folds=null, or these images in train"
        )
    assert config.folds is not None
    labels = raw.labels[rows].astype(np.int64)
    return deal(_units(raw, rows), labels, config.folds, raw.classes, where)


def labels_by_fold(data: ImageData) -> list[Tensor]:
    """The labels of the images that each fold holds out; of val alone without folds."""
    if data.folds is None:
        return [data.val.labels]
    others = range(1, int(data.folds.max()) + 1)
    return [data.val.labels, *(data.train.labels[data.folds == fold] for fold in others)]


def _carve(config: DatasetConfig, raw: Raw, train: Rows) -> Sequence[str]:
    """The parts of the images that lie in train, when the missing ones are taken out of it."""
    present = set(raw.parts)
    wanted = {
        "val": config.val_fraction if "val" not in present else 0.0,
        "test": config.test_fraction if "test" not in present else 0.0,
    }
    needed = ["train", *(part for part, share in wanted.items() if share > 0)]
    units = _units(raw, train)
    places = {unit: _place(unit, wanted) for unit in units}
    members = _members(raw, units, train)
    for number, images in enumerate(members):
        _check_enough(config, raw, number, images, needed)
    # An image, or a group, may be of several classes: the rarest has the last word.
    order = sorted(range(len(members)), key=lambda number: (members[number].total(), number))
    for number in reversed(order):
        images = members[number]
        if images.total() * min(wanted[part] for part in needed[1:] or ["val"]) < FEW:
            places |= _in_turn(images, wanted)
    _fill(config, raw, members, order, places, needed)
    return [places[unit] for unit in units]


def _members(raw: Raw, units: Sequence[bytes], rows: Rows) -> list[Counter[bytes]]:
    """Of each class its images by unit."""
    labels = raw.labels[rows]
    marks = labels == np.arange(len(raw.classes))[:, None] if labels.ndim == 1 else labels.T > 0
    return [Counter(units[int(row)] for row in np.flatnonzero(own)) for own in marks]


def _check_enough(
    config: DatasetConfig, raw: Raw, number: int, images: Counter[bytes], needed: Sequence[str]
) -> None:
    """Refuse a class of fewer units than there are parts; `images` counts those of each unit."""
    if len(images) < len(needed):
        what = "group" if raw.groups is not None else "image"
        raise DataError(
            f"class {raw.classes[number]!r} of dataset {config.name} ({root_of(config)}) has "
            f"{counted(images.total(), 'image')}"
            f"{f' of {counted(len(images), what)}' if raw.groups is not None else ''} to split "
            f"into "
            f"{' and '.join(needed)}; expected {len(needed)} or more different {what}s"
        )


def _fill(
    config: DatasetConfig,
    raw: Raw,
    members: Sequence[Counter[bytes]],
    order: Sequence[int],
    places: dict[bytes, str],
    needed: Sequence[str],
) -> None:
    """Put an image of each class, or a group, where a part has none: the lowest hash that is the
    only one of no class where it lies.

    Raises:
        DataError: there is none.
    """
    of_unit: dict[bytes, list[int]] = {}
    for number, images in enumerate(members):
        for unit in images:
            of_unit.setdefault(unit, []).append(number)
    counts = [Counter(places[unit] for unit in images) for images in members]
    for number in order:
        for part in needed:
            if counts[number][part]:
                continue
            free = (
                unit
                for unit in sorted(members[number])
                if all(counts[other][places[unit]] > 1 for other in of_unit[unit])
            )
            chosen = next(free, None)
            if chosen is None:
                raise DataError(
                    f"class {raw.classes[number]!r} of dataset {config.name} ({root_of(config)}) "
                    f"cannot be in each of {' and '.join(needed)} beside the other classes of its "
                    "images or groups; expected more of it, or splits of the data set's own"
                )
            for other in of_unit[chosen]:
                counts[other][places[chosen]] -= 1
                counts[other][part] += 1
            places[chosen] = part


def _units(raw: Raw, rows: Rows) -> list[bytes]:
    """Of each image the hash of what it must not be parted from: of its group, or of itself.

    Groups that share an image are one, and so are those that have images to keep `together`.
    """
    if raw.groups is None and raw.together is None:
        return [raw.hashes[row] for row in rows]
    parent: dict[bytes, bytes] = {}

    def find(key: bytes) -> bytes:
        while parent.setdefault(key, key) != key:
            parent[key] = key = parent[parent[key]]
        return key

    if raw.groups is None:
        named = [raw.hashes[row] for row in rows]
    else:
        named = [hashlib.sha256(raw.groups[row].encode()).digest() for row in rows]
    for group, row in zip(named, rows, strict=True):
        shared = [b"image" + raw.hashes[row]]
        if raw.together is not None:
            shared.append(b"image" + int(raw.together[row]).to_bytes(8, "big"))
        for each in shared:
            one, other = sorted((find(group), find(each)))
            # Of two names the one without a prefix stays, as hashes decide the split.
            low, high = (other, one) if one.startswith(b"image") else (one, other)
            parent[high] = low
    return [find(group) for group in named]


def _in_turn(images: Counter[bytes], wanted: dict[str, float]) -> dict[bytes, str]:
    """The parts of a small class, each as large as it should be: those of the lowest hashes are
    val, the next ones test. `images` counts those of each unit."""
    ends = {"val": wanted["val"], "test": wanted["val"] + wanted["test"]}
    places, before = {}, 0
    for unit in sorted(images):
        # Where the middle of the unit falls.
        point = (before + images[unit] / 2) / images.total()
        places[unit] = next((part for part, end in ends.items() if point < end), "train")
        before += images[unit]
    return places


def _place(unit: bytes, wanted: dict[str, float]) -> str:
    """The part an image falls into: a fixed point in [0, 1) against the shares asked for."""
    point = int.from_bytes(unit[:8], "big") / 2**64
    if point < wanted["val"]:
        return "val"
    return "test" if point < wanted["val"] + wanted["test"] else "train"


def root_of(config: DatasetConfig) -> Path:
    """Where the images lie, in messages too.

    Raises:
        DataError: no root is given.
    """
    if config.root is None:
        if config.name == "fashion_mnist":
            return Path("embedded")
        if config.path is not None:
            return Path(config.path).expanduser()
        raise DataError(f"dataset.root is missing: where are the images of {config.name}?")
    return Path(config.root).expanduser()
