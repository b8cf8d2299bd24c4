"""How long, and on how many images, the networks of a design are trained."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from scaling.config import FitConfig, listed
from scaling.fitting.design import Point

Level = tuple[float, ...]
"""Logs of what is varied, over the most of each; what is not varied is left out."""


@dataclass(frozen=True)
class Schedules:
    """The values of each: with two or more it is a dimension of the design."""

    epochs: tuple[int, ...]
    fractions: tuple[float, ...]

    @classmethod
    def of(cls, settings: FitConfig, proxy_epochs: int) -> "Schedules":
        """Those that are asked for; the study's own epochs where none are."""
        return cls(
            tuple(int(number) for number in listed(settings.epochs or proxy_epochs)),
            tuple(float(share) for share in listed(settings.train_fraction)),
        )

    @property
    def axes(self) -> int:
        """Dimensions of the design: depth, width, resolution, and what is varied here."""
        return 3 + int(len(self.epochs) > 1) + int(len(self.fractions) > 1)

    @property
    def levels(self) -> list[Level]:
        """All combinations; the last is the most of each."""
        levels: list[Level] = [()]
        for values in (self.epochs, self.fractions):
            if len(values) > 1:
                logs = sorted(math.log(value / max(values)) for value in values)
                levels = [(*level, log) for level in levels for log in logs]
        return levels

    def at(self, level: Level) -> tuple[int, float]:
        """Epochs and share of the images of a level."""
        epochs, fraction = self.epochs[0], self.fractions[0]
        if len(self.epochs) > 1:
            epochs = round(max(self.epochs) * math.exp(level[0]))
        if len(self.fractions) > 1:
            fraction = max(self.fractions) * math.exp(level[-1])
        return epochs, fraction


def level_of(point: Point, points: Sequence[Point]) -> Level:
    """Where a point of a design is among its schedules."""
    varied = []
    for name in ("epochs", "train_fraction"):
        values = {getattr(each, name) for each in points}
        if len(values) > 1:
            varied.append(math.log(getattr(point, name) / max(values)))
    return tuple(varied)
