"""Which of a few networks is the best, and how sure that is.

All are judged on the same images, so differences between them are known far better than their
levels: they are compared image by image.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from search.config.quality import Quality
from search.study.lead import Lead
from search.training.label_metrics import f1_values as label_f1_values
from search.training.label_metrics import precision_values

Array = NDArray[np.float64]

Labels = NDArray[np.integer[Any]]

DRAWS: Final = 20_000
SEED_NOISE: Final = 1.0
"""Variance of a training's mean over its seeds, in units of that over the images: assumed where no
network has two trainings yet."""
Z95: Final = float(norm.ppf(0.975))
SHARED: Final = 2.0
"""Images' worth of what other classes vary by, in what a class is taken to: two images that are
both right do not say that all others would be."""


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


def standing(values: Sequence[Array], classes: Labels | None = None) -> Standing:
    """Of each network the value of every image by every training, (trainings, images).

    The error of a mean is that of the images, which all networks have in common, and that of the
    seeds, which is each one's own; the variance of the latter is pooled over networks. With
    `classes`, (images,), the values are those of `class_weighted` or `f1_values`, and the images
    drawn anew are as many of each class.
    """
    per_image = np.stack([one.mean(0) for one in values])
    freedom = sum(len(one) - 1 for one in values)
    spread = None
    if freedom:
        spread = sum(float(((one.mean(1) - one.mean()) ** 2).sum()) for one in values) / freedom
    return standing_of(per_image, classes, spread, [len(one) for one in values])


def standing_of(
    per_image: Array, classes: Labels | None, spread: float | None, trainings: Sequence[int]
) -> Standing:
    """By what each image says of each network, (networks, images), the mean of so many trainings.

    `spread`: the variance of a training's mean that is of no image; None: too few trainings to say.
    `classes` are those of `image_covariance`.
    """
    by_images = image_covariance(per_image, classes)
    if spread is None:
        spread = SEED_NOISE * float(np.mean(np.diag(by_images)))
    means = per_image.mean(1)
    covariance = by_images + np.diag([spread / number for number in trainings])
    return Standing(means, covariance, chance_of_best(means, covariance))


def image_covariance(per_image: Array, classes: Labels | None = None) -> Array:
    """(networks, networks): of the means of (networks, images), over other images as good.

    With `classes` of the means of `class_weighted` values, whose images are a sample of each class
    and not of all: what classes differ by is no error. Each class has a covariance of its own,
    drawn to the mean of all by `SHARED` images, as some classes have one image or two.
    """
    networks, images = per_image.shape
    if classes is None:
        return np.atleast_2d(np.cov(per_image)) / images if images > 1 else np.eye(networks)
    plain = per_image / class_weights(classes)
    groups = [plain[:, classes == each] for each in np.unique(classes)]
    own = [np.atleast_2d(np.cov(each)) for each in groups if each.shape[1] > 1]
    if not own:
        return np.eye(networks)
    usual = np.mean(own, axis=0)
    whole = np.zeros((networks, networks))
    for each in groups:
        number = each.shape[1]
        spread = np.atleast_2d(np.cov(each)) * (number - 1) if number > 1 else 0.0
        whole += (spread + SHARED * usual) / (number - 1 + SHARED) / number
    return np.asarray(whole / len(groups) ** 2)


def class_weights(classes: Labels) -> Array:
    """(images,): N / (K·n) of an image whose class has n of all N, of K classes that have any."""
    known, which, images = np.unique(classes, return_inverse=True, return_counts=True)
    return np.asarray(len(classes) / (len(known) * images[which]))


def class_weighted(values: Array, classes: Labels) -> Array:
    """(…, images): values whose mean over the images is the mean over classes of their means."""
    return values * class_weights(classes)


def quality_values(
    quality: Quality,
    right: NDArray[np.bool_],
    answers: NDArray[np.signedinteger[Any]],
    labels: Labels,
    scores: NDArray[np.floating[Any]] | None = None,
) -> Array:
    """(images,): what each image adds to a quality, which is their mean.

    `scores` are of images with several labels, (images, labels); answers and labels are then of 0
    and 1, (images, labels).
    """
    if labels.ndim == 2:
        if quality.name == "map":
            assert scores is not None
            return precision_values(scores, labels)
        return label_f1_values(answers, labels)
    if quality.name == "macro_f1":
        return f1_values(answers.astype(np.int64), labels)
    values = right.astype(float)
    return class_weighted(values, labels) if quality.balanced else values


def f1_values(answers: Labels, classes: Labels) -> Array:
    """(images,): values of one training whose mean is its macro F1, and which vary over images as
    that does: it and N times each image's influence on it (the infinitesimal jackknife; Efron,
    "The jackknife, the bootstrap and other resampling plans", 1982, ch. 6).

    The F1 of a class is 2·right / (images + given). An image of the class or given its name moves
    it by (2·right − F1·(1 or 2)) / (images + given). They go through the same mean and covariance
    as balanced accuracy, so that networks are compared image by image in macro F1 too.
    """
    known = np.unique(classes)
    found = np.zeros(len(classes))
    reached = []
    for each in known:
        true, given = classes == each, answers == each
        whole = true.sum() + given.sum()
        f1 = 2 * (true & given).sum() / whole
        reached.append(f1)
        found += (2.0 * (true & given) - f1 * (true.astype(float) + given)) / whole
    return np.asarray(np.mean(reached) + found * len(classes) / len(known))


def chance_of_best(means: Array, covariance: Array) -> Array:
    """P(the greatest) of each of jointly normal values, by drawing them."""
    draws = np.random.default_rng(0).multivariate_normal(
        means, covariance, size=DRAWS, method="eigh", check_valid="ignore"
    )
    return np.bincount(draws.argmax(1), minlength=len(means)) / DRAWS
