"""Image files, of a folder or a table: decoded anew, or mapped from the cache.

They are decoded in shards of a few thousand. With a cache each shard is written as soon as it is
done, so that no more than two are held in memory, and a build that was interrupted goes on.
"""

import contextlib
import json
import os
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from blocks.arch import Size
from blocks.errors import CompoundNasError
from blocks.files import write_whole
from blocks.images.decode import IMAGE_SUFFIXES
from blocks.images.listing import ImageFile, ImageFolder, list_folder
from blocks.images.reading import Reading, decoded_to, reading_from, reading_to_mapping
from blocks.images.walk import Passed
from blocks.messages import say
from search.config.schema import DatasetConfig
from search.data.cache import cache_key, existing, keep, load_or_build
from search.data.decode import decode_files, noted, settle_reading
from search.data.groups import group_files
from search.data.hashes import content_hashes
from search.data.near import keep_together
from search.data.progress import Progress
from search.data.splits import (
    PARTS,
    ImageData,
    Labels,
    Raw,
    Rows,
    Split,
    Weights,
    divide,
    root_of,
)
from search.data.stamp import folder_stamp
from search.data.stored import Stored, Streamed, read_stored
from search.errors import DataError

LARGE: Final = 10**9
"""Bytes of a cache that are worth a word."""
SHARD: Final = 4096
"""Files that are decoded at a time."""


class NoRoomError(DataError):
    """The disk of the cache cannot hold the decoded images."""


def list_files(config: DatasetConfig, several: bool = False) -> ImageFolder:
    """The images of a folder or a table, with their groups; of a table they may have `several`
    labels.

    Raises:
        DataError: see `list_folder`, `list_table` and `group_files`.
    """
    if config.name == "table":
        from search.data.table import list_table  # which needs pandas

        return list_table(config, several)
    found = list_folder(
        root_of(config),
        DataError,
        layout=config.layout,
        skip_unlabelled=config.on_unlabelled == "skip",
    )
    return group_files(found, config.group)


def load_files(
    config: DatasetConfig,
    image_size: Size,
    several: bool = False,
    found: ImageFolder | None = None,
) -> Raw:
    """The images, decoded into memory; of those that are `found`, where they are listed already."""
    return _read(found or list_files(config, several), config, image_size)


def cached_files(
    config: DatasetConfig, image_size: Size, cache: Path, several: bool = False
) -> ImageData:
    """The same images, decoded once and then mapped from a file of the cache.

    A folder in which nothing has changed since is not even listed.
    """
    stamp, index = _stamped(config, image_size, cache)
    if stamp is not None and (opened := _opened(config, cache, index, stamp)) is not None:
        return opened
    found = list_files(config, several)
    root = found.root
    names = [relative(file.name, root) for file in found.files]
    contents: list[str] = []
    shards: list[Path] = []

    def identity() -> str:
        contents[:] = content_hashes(root, names, cache)
        return cache_key(
            [
                *(list(found.classes), list(found.parts), image_size, _settings(config)),
                [
                    [file.part, _known(file), file.group, name, content, *_weight_of(file)]
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
            if raw.weights is not None:
                tensors[f"{part}.weights"] = torch.from_numpy(raw.weights[rows])
            if raw.together is not None:
                tensors[f"{part}.rows"] = torch.from_numpy(rows)
        if divided.folds is not None:
            tensors["folds"] = torch.from_numpy(divided.folds)
        # What was passed over before is known by each listing; here, what decoding found.
        later = raw.passed[len(found.passed) :]
        passed = [[relative(str(each.path), root), each.reason] for each in later]
        fields = {
            "classes": list(found.classes),
            "sha256": divided.sha256,
            "passed": passed,
            "notes": list(divided.notes[len(found.notes) :]),
            "reading": reading_to_mapping(raw.reading),
        }
        return Stored(tensors, fields)

    stored, home = load_or_build(cache, identity, build)
    for shard in shards:
        with contextlib.suppress(OSError):
            shard.unlink()
    if home is not None and stamp is not None:
        # Without it the folder is listed again, and nothing else.
        with contextlib.suppress(CompoundNasError):
            write_whole(index, _index(stamp, home, found))
    return _from_stored(config, root, stored, home, found.passed, found.notes)


def read_before(config: DatasetConfig, image_size: Size, cache: Path) -> ImageData | None:
    """The images of a folder that the cache holds, and that has not changed since; else None."""
    stamp, index = _stamped(config, image_size, cache)
    return None if stamp is None else _opened(config, cache, index, stamp)


def _stamped(config: DatasetConfig, image_size: Size, cache: Path) -> tuple[str | None, Path]:
    """What tells whether a folder has changed, and the file that says what it was."""
    root = root_of(config)
    stamp = folder_stamp(root) if config.name == "imagefolder" else None
    key = cache_key([str(root.resolve()), _settings(config), image_size])
    return stamp, cache / f"opened-{key}.json"


def _index(stamp: str, home: Path, found: ImageFolder) -> bytes:
    """What a folder of this stamp is known as, and what was said when it was listed."""
    passed = [[str(each.path), each.reason] for each in found.passed]
    content = {"stamp": stamp, "key": home.name, "passed": passed, "notes": list(found.notes)}
    return json.dumps(content).encode()


def _settings(config: DatasetConfig) -> list[Any]:
    """Those that steer what is read, and how it is split."""
    free = ("root", "path", "cache", "download")
    return [[name, value] for name, value in asdict(config).items() if name not in free]


def _opened(config: DatasetConfig, cache: Path, index: Path, stamp: str) -> ImageData | None:
    """The images of a folder that has not changed since they were read; None: it has."""
    try:
        known = json.loads(index.read_bytes())
        if known["stamp"] != stamp:
            return None
        home = cache / known["key"]
        passed = [Passed(Path(path), reason) for path, reason in known["passed"]]
        notes = list(map(str, known["notes"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    stored = read_stored(home / "images.bin")
    if stored is None:
        return None
    return _from_stored(config, root_of(config), stored, home, passed, notes)


def _from_stored(
    config: DatasetConfig,
    root: Path,
    stored: Stored,
    home: Path | None,
    passed: Sequence[Passed],
    notes: Sequence[str],
) -> ImageData:
    train, val, test = (
        Split(
            stored.tensor(f"{part}.images").permute(0, 3, 1, 2),
            stored.tensor(f"{part}.labels"),
            stored.tensor(f"{part}.weights") if f"{part}.weights" in stored.tensors else None,
        )
        for part in PARTS
    )
    return ImageData(
        config.name,
        tuple(stored.fields["classes"]),
        train,
        val,
        test,
        stored.fields["sha256"],
        (*passed, *(Passed(root / name, reason) for name, reason in stored.fields["passed"])),
        (*notes, *stored.fields["notes"]),
        decoded_to(reading_from(stored.fields["reading"]), *train.images.shape[2:]),
        home,
        stored.tensor("folds") if "folds" in stored.tensors else None,
        {part: stored.tensor(f"{part}.rows").numpy() for part in PARTS}
        if "train.rows" in stored.tensors
        else None,
    )


def _known(file: ImageFile) -> int | list[int]:
    """Its class, or its labels where it may have several."""
    return file.label if file.labels is None else list(file.labels)


def _weight_of(file: ImageFile) -> list[float]:
    return [] if file.weight is None else [file.weight]


def weights_of(files: Sequence[ImageFile]) -> Weights | None:
    """float64 (N,); None where images have no weights."""
    if not files or files[0].weight is None:
        return None
    return np.array([file.weight for file in files], dtype=np.float64)


def labels_of(files: Sequence[ImageFile], num_classes: int) -> Labels:
    """int64 (N,), or uint8 (N, num_classes) where an image may have several."""
    if not files or files[0].labels is None:
        return np.array([file.label for file in files], dtype=np.int64)
    found = np.zeros((len(files), num_classes), dtype=np.uint8)
    for row, file in enumerate(files):
        found[row, list(file.labels or ())] = 1
    return found


def relative(path: str, root: Path) -> str:
    """Below `root`, or absolute."""
    inside = path.removeprefix(f"{root}{os.sep}")
    return os.path.abspath(path) if inside == path else inside


def _streamed(raw: Raw, rows: Rows) -> Streamed:
    some = next(raw.read(rows[:1]))
    return Streamed(some.dtype, (len(rows), *some.shape[1:]), lambda: raw.read(rows))


def _read(
    found: ImageFolder,
    config: DatasetConfig,
    image_size: Size,
    folder: Path | None = None,
    contents: Sequence[str] | None = None,
    written: list[Path] | None = None,
) -> Raw:
    """All shards, decoded into memory or, with a `folder`, into files there, which are `written`.
    `contents`: the files' SHA-256."""
    files = found.files
    if folder is not None:
        _check_room(len(files), image_size, config.channels or 3, folder.parent)
    reading, notes = settle_reading(config, files)
    shards: list[Future[Stored]] = []
    progress = Progress("decoded", len(files), "images")
    with ThreadPoolExecutor(1) as beside:  # one shard is written while the next is decoded
        for first in range(0, len(files), SHARD):
            some = files[first : first + SHARD]
            known = None if contents is None else contents[first : first + SHARD]
            path = None
            if folder is not None and known is not None:
                key = cache_key([asdict(reading), image_size, config.on_corrupt, list(known)])
                path = folder / f"{key}.bin"
            there = None if path is None else read_stored(path)
            shard = there or decode_files(some, reading, image_size, config.on_corrupt, known)
            if shards:
                shards[-1].result()  # two are never waiting in memory
            shards.append(beside.submit(_put, path if there is None else None, shard))
            if path is not None and written is not None:
                written += [path, path.with_suffix(".seal")]
            progress.at(first + len(some))
        return _join(found, [shard.result() for shard in shards], notes, reading)


def _put(path: Path | None, shard: Stored) -> Stored:
    return shard.whole() if path is None else keep(path, shard)


def _check_room(images: int, image_size: Size, channels: int, cache: Path) -> None:
    """Say how large a large cache will be, and refuse what the disk cannot hold.

    Raises:
        NoRoomError: there is not enough room; twice the images are there before the end.
    """
    needed = 2 * images * channels * image_size.area
    if needed < LARGE:
        return
    free = shutil.disk_usage(existing(cache)).free
    room = f"{needed / 1e9:.1f} GB in {cache}, of which half stays; {free / 1e9:.1f} GB are free"
    if needed > free:
        raise NoRoomError(
            f"{images:,} images at {image_size} px need {room}: dataset.cache=FOLDER names another "
            "disk, dataset.image_size fewer pixels"
        )
    say(f"decoding {images:,} images to {image_size} px: {room}")


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
    labels = labels_of(files, len(found.classes))
    parts = tuple(file.part for file in files)
    check_filled(found, parts, labels)
    channels = settle_channels(_kinds(shards))
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
        None if None in groups else tuple(map(str, groups)),
        tuple(passed),
        (
            *found.notes,
            *notes,
            *(noted(count, note) for note, count in sorted(counts.items())),
        ),
        reading,
        tuple(file.name for file in files),
        weights=weights_of(files),
    )


def _pick(shard: Stored, rows: Tensor, channels: int) -> Tensor:
    """Images of a shard by their positions, ascending: uint8 (n, H, W, channels)."""
    kinds = [int(name.removeprefix("rows.")) for name in shard.tensors if name.startswith("rows.")]
    if kinds == [channels]:
        there = torch.searchsorted(shard.tensor(f"rows.{channels}"), rows)
        return shard.tensor(f"pixels.{channels}").index_select(0, there)
    size = shard.tensor(f"pixels.{kinds[0]}").shape[1:3]
    images = torch.empty((len(rows), *size, channels), dtype=torch.uint8)
    for kind in kinds:
        own = shard.tensor(f"rows.{kind}")
        mine = torch.isin(rows, own)
        there = torch.searchsorted(own, rows[mine])
        images[mine] = (
            shard.tensor(f"pixels.{kind}").index_select(0, there).expand(-1, -1, -1, channels)
        )
    return images


def _kinds(shards: Sequence[Stored]) -> Counter[int]:
    """How many images have so many channels."""
    counts: Counter[int] = Counter()
    for shard in shards:
        for name in shard.tensors:
            if name.startswith("rows."):
                counts[int(name.removeprefix("rows."))] += len(shard.tensor(name))
    return counts


def settle_channels(counts: Counter[int]) -> int:
    """The channels of all images, of which so many have each number: one RGB image makes the whole
    set RGB.

    Raises:
        DataError: other numbers of channels beside one another.
    """
    if len(counts) > 1 and set(counts) != {1, 3}:
        listed = " and ".join(f"{count:,} of {kind}" for kind, count in sorted(counts.items()))
        raise DataError(
            f"the images have different channels: {listed}; dataset.channels={max(counts)} or "
            "another number brings all to it: grey is repeated, of more the first ones are taken"
        )
    return max(counts, default=1)


def check_filled(found: ImageFolder, parts: Sequence[str], labels: Labels) -> None:
    """Refuse a class or a split that no image is left of."""
    own = labels[np.array(parts, dtype=object) == "train"]
    training = set((own if own.ndim == 1 else np.flatnonzero(own.any(0))).tolist())
    for label, name in enumerate(found.classes):
        if label not in training:
            raise DataError(
                f"class {name!r} of {found.parts['train']} holds no readable image to train on "
                f"({', '.join(IMAGE_SUFFIXES)})"
            )
    for part, path in found.parts.items():
        if part not in parts:
            raise DataError(f"{path} holds no readable image of the {part} split")
