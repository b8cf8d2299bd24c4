"""A data set's three splits, and how the missing ones are carved out of train.

The search trains on `train` and steers by `val`; `test` is read once, at the end. A split
that the data set lacks is carved out of train by the SHA-256 of each image, so it stays the
same on every machine and run, and equal images never sit on both sides.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from search.config.schema import DatasetConfig
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
class Raw:
    """What a reader found: arrays per named split, and each image's content hash."""

    classes: tuple[str, ...]
    splits: dict[str, Split]
    hashes: dict[str, list[bytes]]
    skipped: tuple[str, ...] = ()


def assemble(config: DatasetConfig, raw: Raw) -> ImageData:
    """The data set, the splits it lacks carved out of train, and its hash.

    Raises:
        DataError: one class only, or a class too small to split.
    """
    if len(raw.classes) < 2:
        raise DataError(
            f"dataset {config.name} ({root_of(config)}) has one class only, "
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
    raw: Raw, config: DatasetConfig
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
                f"class {name!r} of dataset {config.name} ({root_of(config)}) has {len(members)} "
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


def root_of(config: DatasetConfig) -> Path:
    """Where the images lie, in messages too.

    Raises:
        DataError: no root is given.
    """
    if config.root is None:
        if config.name == "fashion_mnist":
            return Path("embedded")
        raise DataError(f"dataset.root is missing: where are the images of {config.name}?")
    return Path(config.root).expanduser()
