"""How far one network is ahead of another, and when that may be believed."""

from dataclasses import dataclass
from typing import Final

FEW_TEST_IMAGES: Final = 20
"""Test images below which no gain is told from chance, as their variance is hardly known."""


@dataclass(frozen=True)
class Lead:
    """How much one network is ahead of another: the estimate, and a 95% interval."""

    mean: float
    low: float
    high: float

    @property
    def told_apart(self) -> bool:
        """Whether the interval excludes 0."""
        return self.low > 0 or self.high < 0


def may_tell(images: int, low: float, high: float) -> bool:
    """Whether so many test images may tell networks apart by this interval: it has no width where
    all of them say the same."""
    return images >= FEW_TEST_IMAGES and low < high
