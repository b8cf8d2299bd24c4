"""The files of a folder as they are: sizes and modes by their headers; those that were left out."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from PIL import Image

from search.config.schema import RunConfig
from search.data.datasets import load_data
from search.data.decode import decode_file, side_by_side
from search.data.folder import list_folder
from search.data.splits import ImageData, root_of
from search.errors import DataError

_ORIENTATION: Final = 0x0112
"""EXIF's tag; from 5 on the image lies on its side."""


@dataclass(frozen=True)
class LeftOut:
    """A file that no split holds, and why."""

    path: str
    reason: str


@dataclass(frozen=True)
class Sizes:
    """Upright (width, height) of all images, the smallest area first; how many have which mode."""

    sides: tuple[tuple[int, int], ...]
    modes: dict[str, int]

    @property
    def smallest(self) -> tuple[int, int]:
        """By area, as the next two."""
        return self.sides[0]

    @property
    def median(self) -> tuple[int, int]:
        """Half are no larger."""
        return self.sides[(len(self.sides) - 1) // 2]

    @property
    def largest(self) -> tuple[int, int]:
        """The last."""
        return self.sides[-1]

    @property
    def aspects(self) -> tuple[float, float, float]:
        """Width over height: least, median, most."""
        ordered = sorted(width / height for width, height in self.sides)
        return ordered[0], ordered[(len(ordered) - 1) // 2], ordered[-1]

    def smaller_than(self, side: int) -> float:
        """The share of images whose shorter side has fewer pixels."""
        return sum(min(each) < side for each in self.sides) / len(self.sides)


def load_what_is_readable(config: RunConfig) -> tuple[ImageData, tuple[LeftOut, ...]]:
    """The images as a search takes them, and all files that it would leave out, or refuse.

    Raises:
        DataError: what `load_data` raises of more than single files.
    """
    dataset, resolution = config.dataset, config.proxy.resolution
    try:
        data = load_data(dataset, resolution)
    except DataError as refused:
        if dataset.name != "imagefolder" or dataset.on_corrupt == "skip":
            raise
        from dataclasses import replace

        try:
            data = load_data(replace(dataset, on_corrupt="skip"), resolution)
        except DataError:
            raise refused from None
    return data, _left_out(data)


def _left_out(data: ImageData) -> tuple[LeftOut, ...]:
    return tuple(LeftOut(path, _why(path)) for path in data.skipped)


def _why(path: str) -> str:
    """Why a file could not be decoded."""
    try:
        decode_file(Path(path), 1)
    except DataError as error:
        # The path is said beside it.
        return str(error).replace(f" {path!r}", "").replace(f" {path}", "").removeprefix(
            "cannot decode image: "
        )
    return "could not be read"


def reasons(left_out: Sequence[LeftOut]) -> dict[str, int]:
    """How many files were left out for which reason, the most frequent first; the numbers in a
    reason are taken for one."""
    found = Counter(re.sub(r"\d+", "…", each.reason) for each in left_out)
    return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))


def image_sizes(config: RunConfig, data: ImageData) -> Sizes | None:
    """Of the files of a folder by their headers, else of the arrays.

    Files whose headers cannot be read are none; of nothing but such, None.
    """
    if config.dataset.name == "imagefolder":
        paths = [file.path for file in list_folder(root_of(config.dataset)).files]
        found = [each for each in side_by_side(_header, paths) if each is not None]
    else:
        height, width = data.train.images.shape[2:]
        images = sum(len(split) for split in (data.train, data.val, data.test))
        mode = {1: "grey", 3: "RGB"}.get(data.in_channels, f"{data.in_channels} channels")
        found = [((width, height), mode)] * images
    if not found:
        return None
    sides = sorted((each for each, _ in found), key=lambda each: (each[0] * each[1], each))
    modes = Counter(mode for _, mode in found)
    return Sizes(tuple(sides), dict(modes.most_common()))


def _header(path: Path) -> tuple[tuple[int, int], str] | None:
    """Upright size and mode, without decoding a pixel."""
    try:
        with Image.open(path) as image:
            width, height = image.size
            if image.getexif().get(_ORIENTATION, 1) >= 5:
                width, height = height, width
            return (width, height), image.mode
    except Exception:  # Pillow raises anything of a damaged file; decoding says which are
        return None
