"""Which of a few networks is the best, and how sure that is.

All are judged on the same images, so differences between them are known far better than their
levels: they are compared image by image.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

Array = NDArray[np.float64]

DRAWS: Final = 20_000
SEED_NOISE: Final = 1.0
"""Variance of a training's mean over its seeds, in units of that over the images: assumed where no
network has two trainings yet."""
Z95: Final = float(norm.ppf(0.975))


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


@dataclass(frozen=True)
class Standing:
    """Of each network the mean (networks,), more being better, and P(best); `covariance`
    (networks, networks) is that of the means, over images and seeds."""

    means: Array
    covariance: Array
    p_best: Array

    @property
    def order(self) -> list[int]:
        """Networks, the best first."""
        return [int(one) for one in np.argsort(-self.means, kind="stable")]

    def lead(self, one: int, other: int) -> Lead:
        """How far `one` is ahead of `other`."""
        mean = float(self.means[one] - self.means[other])
        c = self.covariance
        half = Z95 * float(np.sqrt(max(0.0, c[one, one] + c[other, other] - 2 * c[one, other])))
        return Lead(mean, mean - half, mean + half)


def standing(values: Sequence[Array]) -> Standing:
    """Of each network the value of every image by every training, (trainings, images).

    The error of a mean is that of the images, which all networks have in common, and that of the
    seeds, which is each one's own; the variance of the latter is pooled over networks.
    """
    per_image = np.stack([one.mean(0) for one in values])
    networks, images = per_image.shape
    means = per_image.mean(1)
    by_images = np.atleast_2d(np.cov(per_image)) / images if images > 1 else np.eye(networks)
    freedom = sum(len(one) - 1 for one in values)
    if freedom:
        spread = sum(float(((one.mean(1) - one.mean()) ** 2).sum()) for one in values) / freedom
    else:
        spread = SEED_NOISE * float(np.mean(np.diag(by_images)))
    covariance = by_images + np.diag([spread / len(one) for one in values])
    return Standing(means, covariance, chance_of_best(means, covariance))


def chance_of_best(means: Array, covariance: Array) -> Array:
    """P(the greatest) of each of jointly normal values, by drawing them."""
    draws = np.random.default_rng(0).multivariate_normal(
        means, covariance, size=DRAWS, method="eigh", check_valid="ignore"
    )
    return np.bincount(draws.argmax(1), minlength=len(means)) / DRAWS
