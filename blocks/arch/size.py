"""Height and width of an image or a map, in pixels."""

import re
from typing import Any, NamedTuple

from blocks.errors import ArchError

EXPECTED = "a number of pixels, as 96, or height x width, as 96x192"


class Size(NamedTuple):
    """Height and width; two numbers, or two columns of numbers.

    It is written `96` where it is square, and `96x192` (height first) where it is not.
    """

    height: Any
    width: Any

    @property
    def area(self) -> Any:
        """Pixels; numbers or columns, as the sides are."""
        return self.height * self.width

    @property
    def shorter(self) -> int:
        """The shorter side."""
        return int(min(self))

    @property
    def longer(self) -> int:
        """The longer side."""
        return int(max(self))

    @property
    def is_square(self) -> bool:
        return bool(self.height == self.width)

    def strided(self, stride: Any) -> "Size":
        """The map that a padded convolution of this stride makes of it."""
        height = -(-self.height // stride)
        if self.width is self.height:  # whole columns are mostly square, and divisions are slow
            return Size(height, height)
        return Size(height, -(-self.width // stride))

    def at_height(self, height: int) -> "Size":
        """Of this height, and as wide in proportion as this one; 1 pixel or more."""
        return Size(height, max(1, round(height * self.width / self.height)))

    def scaled(self, factor: float) -> "Size":
        """Both sides by a factor, each rounded; 1 pixel or more."""
        return Size(max(1, round(self.height * factor)), max(1, round(self.width * factor)))

    def __str__(self) -> str:
        return f"{self.height}" if self.is_square else f"{self.height}x{self.width}"


def square(side: Any) -> Size:
    """A size of two equal sides."""
    return Size(side, side)


def size_from(value: int | str | Size, name: str = "size") -> Size:
    """A size from a side (`28`, `"28"`) or from height and width (`"96x192"`).

    Raises:
        ArchError: it is neither; `name` is what the message calls it.
    """
    if isinstance(value, Size):
        return value
    match = re.fullmatch(r"\s*([0-9]{1,9})(?:\s*[x×]\s*([0-9]{1,9}))?\s*", str(value), re.ASCII)
    sides = (0, 0) if match is None else (int(match[1]), int(match[2] or match[1]))
    if isinstance(value, bool) or min(sides) < 1:
        raise ArchError(f"{name}={value} is not {EXPECTED}")
    return Size(*sides)
