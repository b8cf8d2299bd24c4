"""What the rows of the splits are called: the files that they were read from."""

import hashlib
from collections import defaultdict
from pathlib import Path

import torch

from search.config.schema import RunConfig
from search.data.cache import cache_folder
from search.data.decode import side_by_side
from search.data.folder import ImageFile, list_folder
from search.data.hashes import content_hashes
from search.data.splits import ImageData, Raw, Split, assemble, root_of
from search.look.counts import PARTS


def row_names(config: RunConfig, data: ImageData) -> dict[str, list[str]]:
    """Per split the path of each image of a folder; of arrays `train[7]`, the row of the split as
    `load_data` gives it."""
    found = _paths(config, data) if config.dataset.name == "imagefolder" else None
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


def _hashes(config: RunConfig, files: list[ImageFile]) -> list[bytes]:
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
