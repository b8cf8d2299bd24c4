"""What was trained around a B0: accuracies by depth, width and resolution, and their noise."""

from collections.abc import Sequence
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
    array per network. `images`: how many an accuracy was measured on.
    """

    logs: Floats
    accuracy: tuple[Floats, ...]
    images: int

    def __len__(self) -> int:
        return len(self.accuracy)

    @cached_property
    def unsquared(self) -> tuple[int, ...]:
        """Axes behind the first three that have two values only."""
        axes = range(3, self.logs.shape[1])
        return tuple(axis for axis in axes if len(np.unique(self.logs[:, axis].round(9))) < 3)

    @cached_property
    def mean(self) -> Floats:
        """(networks,): accuracy over seeds."""
        return np.array([float(np.mean(each)) for each in self.accuracy])

    @cached_property
    def trainings(self) -> Integers:
        """(networks,): how many seeds each has."""
        return np.array([len(each) for each in self.accuracy])

    @cached_property
    def smooth(self) -> Floats:
        """(networks,): accuracies of a plane through the logits, to take variances at."""
        features = np.column_stack([np.ones(len(self)), self.logs])
        coefficients = np.linalg.lstsq(features, clipped_logit(self.mean, self.images), rcond=None)[
            0
        ]
        return np.asarray(expit(features @ coefficients))

    @cached_property
    def dispersion(self) -> float:
        """Variance of an accuracy over seeds as a multiple of the binomial p(1 − p)/images.

        Pooled over the repeated networks; 1 where nothing was repeated. All networks are measured
        on the same images, so it may well be below 1.
        """
        binomial = self.smooth * (1 - self.smooth) / self.images
        repeated = [n for n in range(len(self)) if self.trainings[n] > 1]
        if not repeated:
            return 1.0
        squares = np.array([np.var(self.accuracy[n]) * len(self.accuracy[n]) for n in repeated])
        ratio = (squares / binomial[repeated]).sum() / (self.trainings[repeated] - 1).sum()
        return max(float(ratio), 1e-3)

    @cached_property
    def variance(self) -> Floats:
        """(networks,): of the mean accuracy of each."""
        binomial = self.smooth * (1 - self.smooth) / self.images
        return np.asarray(self.dispersion * binomial / self.trainings)

    @cached_property
    def misfit(self) -> float:
        """Variance of the logit between networks that is neither the quadratic's nor the seeds'.

        By the method of moments: with it the weighted squares are as many as the degrees of
        freedom. Where it dominates, all networks weigh the same, however often they were repeated.
        """
        features = quadratic_features(self.logs, self.unsquared)
        freedom = len(self) - int(features.shape[1])
        if freedom < 1:
            return 0.0
        outputs, seeds = clipped_logit(self.mean, self.images), self.variance / self.slope**2

        def excess(misfit: float) -> float:
            roots = 1 / np.sqrt(seeds + misfit)
            found = np.linalg.lstsq(features * roots[:, None], outputs * roots, rcond=None)[0]
            return float((((outputs - features @ found) * roots) ** 2).sum()) - freedom

        low, high = 0.0, float(np.var(outputs)) * len(self) + 1e-12
        if excess(low) <= 0:
            return 0.0
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (middle, high) if excess(middle) > 0 else (low, middle)
        return high

    @property
    def slope(self) -> Floats:
        """(networks,): of accuracy by its logit, p(1 − p)."""
        return np.asarray(self.smooth * (1 - self.smooth))

    @cached_property
    def weights(self) -> Floats:
        """(networks,): of a regression of accuracies, 1/(variance over seeds + misfit), mean 1."""
        weights = 1 / (self.variance + self.misfit * self.slope**2)
        return np.asarray(weights / weights.mean())

    @property
    def noise(self) -> float:
        """Deviation of one training's accuracy over seeds, typical of the networks."""
        return float(np.sqrt(np.median(self.variance * self.trainings)))

    def resample(self, resamples: int, generator: np.random.Generator) -> "Sample":
        """Random weights of networks, and within each repeated one of its seeds; of mean 1."""
        weights = generator.exponential(size=(resamples, len(self)))
        accuracy = np.tile(self.mean, (resamples, 1))
        for n in np.flatnonzero(self.trainings > 1):
            each = generator.exponential(size=(resamples, int(self.trainings[n])))
            accuracy[:, n] = each @ self.accuracy[n] / each.sum(1)
        return Sample(weights / weights.mean(1, keepdims=True), accuracy)

    def itself(self) -> "Sample":
        """Every network once: the sample that is fitted first."""
        return Sample(np.ones((1, len(self))), self.mean[None, :])


@dataclass(frozen=True)
class Sample:
    """`counts`: (resamples, networks), how often each counts; `accuracy`: alike, of each."""

    counts: Floats
    accuracy: Floats


def quadratic_features(logs: Floats, unsquared: Sequence[int] = ()) -> Floats:
    """(points, axes) → (points, 1 + axes + axes·(axes + 1)/2): 1, x, and all products of two.

    The squares of the axes `unsquared` are left out: of two values they say nothing.
    """
    axes = logs.shape[1]
    pairs = [(i, j) for i in range(axes) for j in range(i, axes) if i != j or i not in unsquared]
    return np.column_stack([np.ones(len(logs)), logs, *(logs[:, i] * logs[:, j] for i, j in pairs)])


def clipped_logit(accuracy: Floats, images: int) -> Floats:
    """Of an accuracy kept half an image from 0 and 1."""
    return np.asarray(logit(np.clip(accuracy, 0.5 / images, 1 - 0.5 / images)))
