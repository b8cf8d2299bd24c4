"""What was trained around a B0: accuracies by depth, width and resolution, and their noise."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Observations:
    """What was trained.

    `logs`: (networks, axes), of the multipliers; the first three axes are depth, width and
    resolution, more are what else was varied. `accuracy`: of every training, as a fraction, one
    array per network; of another metric, if the study is judged by that. `images`: how many an
    accuracy was measured on, or what they are worth where classes count alike
    (`search.data.classes.worth`). `schedules`: of each network how it was trained, 0 as the design
    is, more otherwise (longer, by a recipe); empty: all as the design.
    """

    logs: Floats
    accuracy: tuple[Floats, ...]
    images: int
    schedules: tuple[int, ...] = ()

    def __len__(self) -> int:
        return len(self.accuracy)

    @cached_property
    def mean(self) -> Floats:
        """(networks,): accuracy over seeds."""
        return np.array([float(np.mean(each)) for each in self.accuracy])

    @cached_property
    def trainings(self) -> Integers:
        """(networks,): how many seeds each has."""
        return np.array([len(each) for each in self.accuracy])

    @cached_property
    def schedule(self) -> Integers:
        """(networks,): `schedules`, all of them."""
        return np.array(self.schedules or [0] * len(self), dtype=np.int64)

    @cached_property
    def others(self) -> Floats:
        """(networks, schedules but the design's): 1 where a network was trained by one of them."""
        numbers = np.arange(1, self.schedule.max(initial=0) + 1)
        return np.asarray((self.schedule[:, None] == numbers).astype(np.float64))

    @cached_property
    def outputs(self) -> Floats:
        """(networks,): logits of the means."""
        return clipped_logit(self.mean, self.images)

    @cached_property
    def slope(self) -> Floats:
        """(networks,): of accuracy by its logit, p(1 − p), where a plane through the logits is, of
        each schedule as high as it lies."""
        features = np.column_stack([np.ones(len(self)), self.logs, self.others])
        plane = np.linalg.lstsq(features, self.outputs, rcond=None)[0]
        smooth = expit(features @ plane)
        return np.asarray(smooth * (1 - smooth))

    @cached_property
    def squares(self) -> float:
        """Sum of the squared deviations of trainings from the mean of their network, in logits."""
        return float(
            sum(
                ((each - each.mean()) ** 2).sum() / slope**2
                for each, slope in zip(self.accuracy, self.slope, strict=True)
            )
        )


def clipped_logit(accuracy: Floats, images: int) -> Floats:
    """Of an accuracy kept half an image from 0 and 1."""
    return np.asarray(logit(np.clip(accuracy, 0.5 / images, 1 - 0.5 / images)))
