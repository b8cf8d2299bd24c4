"""A part of many image files, from which it is said beforehand what all of them will take."""

import shutil
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from blocks.arch import Size
from blocks.images.listing import ImageFile
from blocks.messages import say
from blocks.names import counted
from search.config.schema import DatasetConfig
from search.data.cache import cache_folder, existing
from search.data.datasets import decoded_size
from search.data.files import list_files, load_files, read_before
from search.data.splits import FILES, ImageData, assemble
from search.errors import DataError

MANY: Final = 50_000
"""Files from which on a part of them is read, not all."""
TAKEN: Final = 8192
"""Files of the part, and more where there are many classes."""
OF_EACH: Final = 30
"""Files at least of each class of a split, where it has so many."""


@dataclass(frozen=True)
class Sample:
    """`data` holds a part of `files` image files. Of all of them: `seconds` to read and decode them
    once, on all cores; `cache_bytes` that stay, of `free_bytes`; None where there is no cache."""

    data: ImageData
    files: int
    seconds: float
    cache_bytes: int
    free_bytes: int | None

    def of_all(self, images: int) -> int:
        """How many images there are for so many of the part."""
        taken = sum(len(split) for split in (self.data.train, self.data.val, self.data.test))
        return round(images * self.files / taken)

    def describe(self) -> str:
        """Whether all fit, in one line."""
        size = "×".join(map(str, self.data.train.images.shape[2:]))
        line = f"{counted(self.files, 'image')} at {size} px"
        if self.free_bytes is None:
            return f"{line} need {self.cache_bytes / 1e9:.1f} GB of memory (dataset.cache=null)"
        fits = "it fits" if 2 * self.cache_bytes <= self.free_bytes else "it does not fit"
        return (
            f"{line} stay in the cache with {self.cache_bytes / 1e9:.1f} GB, twice that while they "
            f"are decoded; {self.free_bytes / 1e9:.1f} GB are free: {fits}"
        )


def sample(config: DatasetConfig, seen: Size, several: bool) -> Sample | None:
    """A part of the files of every class; None where there are no more than `MANY` files, or the
    cache holds them.

    Raises:
        DataError: as `load_data`, of the part.
    """
    if config.name not in FILES:
        return None
    size = decoded_size(config, seen)
    cache = cache_folder(config.cache)
    if cache is not None and read_before(config, size, cache) is not None:
        return None
    found = list_files(config, several)
    if len(found.files) <= MANY:
        return None
    part = replace(found, files=_spread(found.files))
    say(f"{len(found.files):,} images: this plan decodes {len(part.files):,} of them")
    started = time.perf_counter()
    raw = load_files(config, size, several, part)
    seconds = (time.perf_counter() - started) / len(part.files) * len(found.files)
    try:
        data = assemble(config, raw)
    except DataError:
        return None  # too few of a class in the part
    stays = len(found.files) * data.in_channels * int(size.area)
    free = None if cache is None else shutil.disk_usage(existing(cache)).free
    return Sample(data, len(found.files), seconds, stays, free)


def _spread(files: Sequence[ImageFile]) -> tuple[ImageFile, ...]:
    """Of each class of a split the same share, evenly spaced; `OF_EACH` at least."""
    places: dict[Any, list[int]] = defaultdict(list)
    for place, file in enumerate(files):
        places[file.part, file.label if file.labels is None else None].append(place)
    chosen: list[int] = []
    for own in places.values():
        wanted = min(len(own), max(OF_EACH, round(TAKEN * len(own) / len(files))))
        chosen += [own[number * len(own) // wanted] for number in range(wanted)]
    return tuple(files[place] for place in sorted(chosen))
