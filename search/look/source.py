"""Where images come from, for people: the files behind the rows, and those that were left out.

The one place here that knows how `search.data` reads files.
"""

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from search.config.schema import RunConfig
from search.data.cache import cache_folder
from search.data.datasets import load_data
from search.data.decode import decode_file, side_by_side
from search.data.folder import ImageFile, list_folder
from search.data.hashes import content_hashes
from search.data.splits import ImageData, Raw, Split, assemble, root_of
from search.errors import DataError
from search.look.counts import PARTS
from search.look.sizes import Sizes, array_sizes, file_sizes


@dataclass(frozen=True)
class LeftOut:
    """A file that no split holds, and why."""

    path: str
    reason: str


@dataclass(frozen=True)
class Source:
    """`data` is what can be read. `refused`: whether a search stops at one of `left_out`."""

    data: ImageData
    left_out: tuple[LeftOut, ...]
    refused: bool


def read_all(config: RunConfig) -> Source:
    """The images as a search takes them; where it would stop at a file that cannot be read, all
    others, and every such file.

    Raises:
        DataError: what `load_data` raises of more than single files.
    """
    dataset, resolution = config.dataset, config.proxy.resolution
    try:
        data = load_data(dataset, resolution)
    except DataError as first:
        if not _of_files(config) or dataset.on_corrupt == "skip":
            raise
        try:
            data = load_data(replace(dataset, on_corrupt="skip"), resolution)
        except DataError:
            raise first from None
        return Source(data, _left_out(data), refused=True)
    return Source(data, _left_out(data), refused=False)


def _of_files(config: RunConfig) -> bool:
    return config.dataset.name == "imagefolder"


def _left_out(data: ImageData) -> tuple[LeftOut, ...]:
    return tuple(LeftOut(path, _why(path)) for path in data.skipped)


def _why(path: str) -> str:
    """Why a file could not be decoded; its path is said beside it."""
    try:
        decode_file(Path(path), 1)
    except DataError as error:
        reason = str(error).replace(f" {path!r}", "").replace(f" {path}", "")
        return reason.removeprefix("cannot decode image: ")
    return "it could not be read"


def count_reasons(left_out: Sequence[LeftOut]) -> dict[str, int]:
    """How many files were left out for which reason, the most frequent first; reasons that differ
    in a number alone are one."""
    found = Counter(re.sub(r"\d+", "…", each.reason) for each in left_out)
    return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))


def image_sizes(config: RunConfig, data: ImageData) -> Sizes | None:
    """Of the files, else of the arrays; None: no header can be read."""
    if not _of_files(config):
        return array_sizes(data)
    return file_sizes([file.path for file in list_folder(root_of(config.dataset)).files])


def row_names(config: RunConfig, data: ImageData) -> dict[str, list[str]]:
    """Per split the path of each image's file; of arrays, and where files have changed since,
    `train[7]`, the row of the split as `load_data` gives it."""
    found = _paths(config, data) if _of_files(config) else None
    if found is not None:
        return found
    return {part: [f"{part}[{row}]" for row in range(len(getattr(data, part)))] for part in PARTS}


def _paths(config: RunConfig, data: ImageData) -> dict[str, list[str]] | None:
    """None: the files have changed since they were read."""
    skipped = set(data.skipped)
    folder = list_folder(root_of(config.dataset))
    files = [file for file in folder.files if str(file.path) not in skipped]
    members: dict[str, list[int]] = defaultdict(list)
    for number, file in enumerate(files):
        members[file.part].append(number)
    digests = _hashes(config, files)
    # Split as the images were, with their numbers in the place of pixels.
    numbered = {
        part: Split(
            torch.tensor(numbers).view(-1, 1, 1, 1),
            torch.tensor([files[number].label for number in numbers]),
        )
        for part, numbers in members.items()
    }
    hashes = {part: [digests[number] for number in numbers] for part, numbers in members.items()}
    again = assemble(config.dataset, Raw(folder.classes, numbered, hashes))
    if again.sha256 != data.sha256:
        return None
    return {
        part: [str(files[number].path) for number in getattr(again, part).images.flatten()]
        for part in PARTS
    }


def _hashes(config: RunConfig, files: Sequence[ImageFile]) -> list[bytes]:
    """The SHA-256 of each file; read anew where there is no cache."""
    cache = cache_folder(config.dataset.cache)
    if cache is None:
        return list(side_by_side(_hash, [file.path for file in files]))
    root = root_of(config.dataset)
    names = [str(file.path.relative_to(root)) for file in files]
    return [bytes.fromhex(digest) for digest in content_hashes(root, names, cache)]


def _hash(path: Path) -> bytes:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").digest()
