"""Image files, of a folder or a table: decoded anew, or mapped from the cache.

They are decoded in shards of a few thousand. With a cache each shard is written as soon as it is
done, so that no more than one is held in memory, and a build that was interrupted goes on.
"""

import contextlib
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import Tensor

from blocks.images.decode import IMAGE_SUFFIXES
from blocks.images.listing import ImageFolder, Passed, list_folder
from blocks.images.reading import Reading, reading_from, reading_to_mapping
from blocks.messages import say
from search.config.schema import DatasetConfig
from search.data.cache import cache_key, keep, load_or_build
from search.data.decode import decode_files, settle_reading
from search.data.groups import group_files
from search.data.hashes import content_hashes
from search.data.near import keep_together
from search.data.splits import PARTS, ImageData, Raw, Rows, Split, divide, root_of
from search.data.stored import Stored, Streamed, read_stored
from search.data.table import list_table
from search.errors import DataError

SHARD: Final = 4096
"""Files that are decoded at a time."""
_SAID_AFTER: Final = 10.0
"""Seconds between two lines of progress."""


def list_files(config: DatasetConfig) -> ImageFolder:
    """The images of a folder or a table, with their groups.

    Raises:
        DataError: see `list_folder`, `list_table` and `group_files`.
    """
    if config.name == "table":
        return list_table(config)
    found = list_folder(
        root_of(config),
        DataError,
        layout=config.layout,
        skip_unlabelled=config.on_unlabelled == "skip",
    )
    return group_files(found, config.group)


def load_files(config: DatasetConfig, image_size: int) -> Raw:
    """The images, decoded into memory."""
    return _read(list_files(config), config, image_size)


def cached_files(config: DatasetConfig, image_size: int, cache: Path) -> ImageData:
    """The same images, decoded once and then mapped from a file of the cache."""
    found = list_files(config)
    root = found.root
    names = [_relative(file.path, root) for file in found.files]
    contents: list[str] = []
    shards: list[Path] = []

    def identity() -> str:
        contents[:] = content_hashes(root, names, cache)
        return cache_key(
            [
                *(list(found.classes), list(found.parts), image_size, config.on_corrupt),
                *(config.val_fraction, config.test_fraction),
                *(config.resize, config.background, config.range, config.channels),
                *([] if config.folds is None else [["folds", config.folds]]),
                *([] if config.near_duplicates == "ignore" else [["near", config.near_duplicates]]),
                [
                    [file.part, file.label, file.group, name, content]
                    for file, name, content in zip(found.files, names, contents, strict=True)
                ],
            ]
        )

    def build() -> Stored:
        raw = _read(found, config, image_size, cache / "shards", contents, shards)
        raw = keep_together(config, raw)
        divided = divide(config, raw)
        tensors: dict[str, Tensor | Streamed] = {}
        for part in PARTS:
            rows = divided.rows[part]
            tensors[f"{part}.images"] = _streamed(raw, rows)
            tensors[f"{part}.labels"] = torch.from_numpy(raw.labels[rows])
            if raw.together is not None:
                tensors[f"{part}.rows"] = torch.from_numpy(rows)
        if divided.folds is not None:
            tensors["folds"] = torch.from_numpy(divided.folds)
        passed = [[_relative(each.path, root), each.reason] for each in raw.passed]
        fields = {
            "sha256": divided.sha256,
            "passed": passed,
            "notes": list(divided.notes),
            "reading": reading_to_mapping(raw.reading),
        }
        return Stored(tensors, fields)

    stored, home = load_or_build(cache, identity, build)
    train, val, test = (
        Split(stored.tensor(f"{part}.images").permute(0, 3, 1, 2), stored.tensor(f"{part}.labels"))
        for part in PARTS
    )
    for shard in shards:
        with contextlib.suppress(OSError):
            shard.unlink()
    return ImageData(
        config.name,
        found.classes,
        train,
        val,
        test,
        stored.fields["sha256"],
        tuple(Passed(root / name, reason) for name, reason in stored.fields["passed"]),
        tuple(stored.fields["notes"]),
        reading_from(stored.fields["reading"]),
        home,
        stored.tensor("folds") if "folds" in stored.tensors else None,
        {part: stored.tensor(f"{part}.rows").numpy() for part in PARTS}
        if "train.rows" in stored.tensors
        else None,
    )


def _relative(path: Path, root: Path) -> str:
    return str(path.relative_to(root)) if path.is_relative_to(root) else str(path)


def _streamed(raw: Raw, rows: Rows) -> Streamed:
    some = next(raw.read(rows[:1]))
    return Streamed(some.dtype, (len(rows), *some.shape[1:]), lambda: raw.read(rows))


def _read(
    found: ImageFolder,
    config: DatasetConfig,
    image_size: int,
    folder: Path | None = None,
    contents: Sequence[str] | None = None,
    written: list[Path] | None = None,
) -> Raw:
    """All shards, decoded into memory or, with a `folder`, into files there, which are `written`.
    `contents`: the files' SHA-256."""
    files = found.files
    reading, notes = settle_reading(config, files)
    shards = []
    begun = said = time.monotonic()
    for first in range(0, len(files), SHARD):
        some = files[first : first + SHARD]
        known = None if contents is None else contents[first : first + SHARD]
        path = None
        if folder is not None and known is not None:
            key = cache_key([asdict(reading), image_size, config.on_corrupt, list(known)])
            path = folder / f"{key}.bin"
        shard = None if path is None else read_stored(path)
        if shard is None:
            shard = decode_files(some, reading, image_size, config.on_corrupt, known)
            shard = shard if path is None else keep(path, shard)
        shards.append(shard)
        if path is not None and written is not None:
            written += [path, path.with_suffix(".seal")]
        now, done = time.monotonic(), first + len(some)
        if now - said > _SAID_AFTER and done < len(files):
            said = now
            left = (now - begun) / done * (len(files) - done)
            say(f"decoded {done:,} of {len(files):,} images, about {left:.0f} s left")
    return _join(found, shards, notes, reading)


def _join(
    found: ImageFolder, shards: Sequence[Stored], notes: Sequence[str], reading: Reading
) -> Raw:
    """What all shards hold, image by image."""
    positions, hashes, passed = [], [], list(found.passed)
    counts: Counter[str] = Counter()
    for number, shard in enumerate(shards):
        first = number * SHARD
        positions += [first + position for position, _ in shard.fields["hashes"]]
        hashes += [bytes.fromhex(digest) for _, digest in shard.fields["hashes"]]
        passed += [
            Passed(found.files[first + position].path, reason)
            for position, reason in shard.fields["passed"]
        ]
        counts.update(shard.fields["notes"])
    files = [found.files[position] for position in positions]
    labels = np.array([file.label for file in files], dtype=np.int64)
    parts = tuple(file.part for file in files)
    _check_filled(found, parts, labels)
    channels = _channels(shards)
    kept = np.array(positions)

    def read(rows: Rows) -> Iterator[Tensor]:
        chosen = kept[rows]
        for number, shard in enumerate(shards):
            inside = chosen[(chosen >= number * SHARD) & (chosen < (number + 1) * SHARD)]
            if len(inside):
                yield _pick(shard, torch.from_numpy(inside - number * SHARD), channels)

    groups = [file.group for file in files]
    return Raw(
        found.classes,
        parts,
        labels,
        tuple(hashes),
        read,
        None if None in groups else tuple(str(group) for group in groups),
        tuple(passed),
        (
            *found.notes,
            *notes,
            *(f"{count:,} images {note}" for note, count in sorted(counts.items())),
        ),
        reading,
        tuple(file.path for file in files),
    )


def _pick(shard: Stored, rows: Tensor, channels: int) -> Tensor:
    """Images of a shard by their positions, ascending: uint8 (n, H, W, channels)."""
    kinds = [int(name.removeprefix("rows.")) for name in shard.tensors if name.startswith("rows.")]
    if kinds == [channels]:
        there = torch.searchsorted(shard.tensor(f"rows.{channels}"), rows)
        return shard.tensor(f"pixels.{channels}").index_select(0, there)
    side = shard.tensor(f"pixels.{kinds[0]}").shape[1]
    images = torch.empty((len(rows), side, side, channels), dtype=torch.uint8)
    for kind in kinds:
        own = shard.tensor(f"rows.{kind}")
        mine = torch.isin(rows, own)
        there = torch.searchsorted(own, rows[mine])
        images[mine] = (
            shard.tensor(f"pixels.{kind}").index_select(0, there).expand(-1, -1, -1, channels)
        )
    return images


def _channels(shards: Sequence[Stored]) -> int:
    """Those of all images: one RGB image makes the whole set RGB.

    Raises:
        DataError: other numbers of channels beside one another.
    """
    counts: Counter[int] = Counter()
    for shard in shards:
        for name in shard.tensors:
            if name.startswith("rows."):
                counts[int(name.removeprefix("rows."))] += len(shard.tensor(name))
    if len(counts) > 1 and set(counts) != {1, 3}:
        listed = " and ".join(f"{count:,} of {kind}" for kind, count in sorted(counts.items()))
        raise DataError(
            f"the images have different channels: {listed}; dataset.channels={max(counts)} or "
            "another number brings all to it: grey is repeated, of more the first ones are taken"
        )
    return max(counts)


def _check_filled(found: ImageFolder, parts: Sequence[str], labels: Rows) -> None:
    """Refuse a class or a split that no image is left of."""
    training = {
        label for part, label in zip(parts, labels.tolist(), strict=True) if part == "train"
    }
    for label, name in enumerate(found.classes):
        if label not in training:
            raise DataError(
                f"class {name!r} of {found.parts['train']} holds no readable image to train on "
                f"({', '.join(IMAGE_SUFFIXES)})"
            )
    for part, path in found.parts.items():
        if part not in parts:
            raise DataError(f"{path} holds no readable image of the {part} split")
