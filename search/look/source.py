"""Where images come from, for people: the files behind the rows.

The one place here that knows how `search.data` reads files.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from blocks.images.listing import ImageFile
from blocks.threads import side_by_side
from search.config.schema import RunConfig
from search.data.cache import cache_folder
from search.data.datasets import load_data
from search.data.files import labels_of, list_files, relative, weights_of
from search.data.hashes import content_hashes
from search.data.splits import FILES, PARTS, ImageData, Raw, divide
from search.errors import DataError
from search.look.sizes import Sizes, array_sizes, file_sizes


@dataclass(frozen=True)
class Source:
    """`data` is what can be read. `refused`: whether a search stops at a file that cannot be."""

    data: ImageData
    refused: bool


def read_all(config: RunConfig) -> Source:
    """The images as a search takes them; where it would stop at a file that cannot be read, all
    others, and every such file.

    Raises:
        DataError: what `load_data` raises of more than single files.
    """
    dataset, size = config.dataset, config.proxy.size
    try:
        data = load_data(dataset, size, config.several)
    except DataError as first:
        if not _of_files(config) or dataset.on_corrupt == "skip":
            raise
        try:
            data = load_data(replace(dataset, on_corrupt="skip"), size, config.several)
        except DataError:
            raise first from None
        return Source(data, refused=True)
    return Source(data, refused=False)


def _of_files(config: RunConfig) -> bool:
    return config.dataset.name in FILES


def image_sizes(config: RunConfig, data: ImageData) -> Sizes | None:
    """Of the files, else of the arrays; None: no header can be read."""
    if not _of_files(config):
        return array_sizes(data)
    return file_sizes([file.path for file in list_files(config.dataset, config.several).files])


def row_names(config: RunConfig, data: ImageData) -> dict[str, list[str]]:
    """Per split the path of each image's file; of arrays, and where files have changed since,
    `train[7]`, the row of the split as `load_data` gives it."""
    found = _paths(config, data) if _of_files(config) else None
    if found is not None:
        return found
    return {part: [f"{part}[{row}]" for row in range(len(getattr(data, part)))] for part in PARTS}


def _paths(config: RunConfig, data: ImageData) -> dict[str, list[str]] | None:
    """None: the files have changed since they were read."""
    passed = {each.path for each in data.passed}
    found = list_files(config.dataset, config.several)
    files = [file for file in found.files if file.path not in passed]
    if data.rows is not None:
        if sum(map(len, data.rows.values())) != len(files):
            return None
        return {part: [str(files[row].path) for row in data.rows[part]] for part in PARTS}
    groups = [file.group for file in files]
    raw = Raw(
        found.classes,
        tuple(file.part for file in files),
        labels_of(files, len(found.classes)),
        tuple(_hashes(config, found.root, files)),
        lambda rows: iter(()),
        None if None in groups else tuple(str(group) for group in groups),
        weights=weights_of(files),
    )
    divided = divide(config.dataset, raw)
    if divided.sha256 != data.sha256:
        return None
    return {part: [str(files[row].path) for row in divided.rows[part]] for part in PARTS}


def _hashes(config: RunConfig, root: Path, files: Sequence[ImageFile]) -> list[bytes]:
    """The SHA-256 of each file; read anew where there is no cache."""
    cache = cache_folder(config.dataset.cache)
    if cache is None:
        return list(side_by_side(_hash, [file.path for file in files]))
    names = [relative(file.name, root) for file in files]
    return [bytes.fromhex(digest) for digest in content_hashes(root, names, cache)]


def _hash(path: Path) -> bytes:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").digest()
