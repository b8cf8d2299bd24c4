"""How large the images are and of which kind: files by their headers, without decoding a pixel."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from PIL import Image

from blocks.arch import Size
from blocks.threads import side_by_side
from search.data.splits import PARTS, ImageData

_ORIENTATION: Final = 0x0112
"""EXIF's tag; from 5 on the image lies on its side."""


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
        """At least half are no larger."""
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

    def smaller_than(self, seen: Size) -> float:
        """The share of images of which a side has fewer pixels than what networks see."""
        small: int = sum(high < seen.height or wide < seen.width for wide, high in self.sides)
        return small / len(self.sides)


def file_sizes(paths: Sequence[Path]) -> Sizes | None:
    """Of image files; those whose headers cannot be read are none, and of such alone None."""
    return _sizes([each for each in side_by_side(_header, paths) if each is not None])


def array_sizes(data: ImageData) -> Sizes | None:
    """Of images that are arrays, all of one size."""
    height, width = data.train.images.shape[2:]
    mode = {1: "grey", 3: "RGB"}.get(data.in_channels, f"of {data.in_channels} channels")
    return _sizes([((width, height), mode)] * sum(len(getattr(data, part)) for part in PARTS))


def _sizes(found: Sequence[tuple[tuple[int, int], str]]) -> Sizes | None:
    if not found:
        return None
    sides = sorted((each for each, _ in found), key=lambda each: (each[0] * each[1], each))
    return Sizes(tuple(sides), dict(Counter(mode for _, mode in found).most_common()))


def _header(path: Path) -> tuple[tuple[int, int], str] | None:
    """Upright size and mode."""
    try:
        with Image.open(path) as image:
            width, height = image.size
            if image.getexif().get(_ORIENTATION, 1) >= 5:
                width, height = height, width
            return (width, height), image.mode
    except Exception:  # Pillow raises anything of a damaged file; decoding says which are
        return None
