"""Which network is the best where each of its trainings judges the images of another fold.

With all folds every image judges once, and networks are compared image by image over all of them.
One that was given up after some folds is compared on these with the networks that were not.
"""

from collections.abc import Sequence

import numpy as np

from search.study.race import Array, Labels, Standing, standing_of


def standing_by_folds(
    values: Sequence[Sequence[Array]], classes: Sequence[Labels] | None = None
) -> Standing:
    """Of each network the value of each image of the first folds, (images of the fold,), by a
    training for each.

    The error of a mean is that of the images, which networks have in common, and that of the
    trainings, which is each one's own. `classes`, of each fold, are as in `race.standing`.
    """
    folds = max(map(len, values))
    sizes = [len(next(one[fold] for one in values if len(one) > fold)) for fold in range(folds)]
    per_image = compared(values, sizes)
    known = None if classes is None else np.concatenate(classes[:folds])
    spread = training_spread(values, per_image, sizes)
    return standing_of(per_image, known, spread, [len(one) for one in values])


def compared(values: Sequence[Sequence[Array]], sizes: Sequence[int]) -> Array:
    """(networks, images of all folds), whose mean is what a network reaches.

    Of a network that lacks folds that is the mean of those that lack none, and how far it is ahead
    of them on the folds that it has; images on which it is known count for those on which it is
    not, so that they vary as the estimate does.
    """
    whole = np.stack([np.concatenate(one) for one in values if len(one) == len(sizes)])
    usual, images = whole.mean(0), sum(sizes)
    found = np.empty((len(values), images))
    for place, one in enumerate(values):
        own = np.concatenate(one)
        ahead = own - usual[: len(own)]
        found[place] = usual + ahead.mean()
        found[place, : len(own)] += images / len(own) * (ahead - ahead.mean())
    return found


def training_spread(
    values: Sequence[Sequence[Array]], per_image: Array, sizes: Sequence[int]
) -> float | None:
    """Variance of a training's mean that is of no image: of what is left when each network and each
    fold has its own level, less what so few images make of it. None: too few trainings to say."""
    pairs = [(place, fold) for place, one in enumerate(values) for fold in range(len(one))]
    means = np.array([values[place][fold].mean() for place, fold in pairs])
    levels = np.zeros((len(pairs), len(values) + len(sizes)))
    for row, (place, fold) in enumerate(pairs):
        levels[row, [place, len(values) + fold]] = 1
    # One level is free: all networks up and all folds down is the same.
    freedom = len(pairs) - (len(values) + len(sizes) - 1)
    if freedom < 1:
        return None
    left = means - levels @ np.linalg.lstsq(levels, means, rcond=None)[0]
    whole = np.array([len(one) == len(sizes) for one in values])
    if whole.sum() < 2:
        return None
    apart = per_image[whole] - per_image[whole].mean(0)
    ends = np.cumsum(sizes)[:-1]
    by_images = [
        float(each.var(1, ddof=1).mean()) / each.shape[1] for each in np.split(apart, ends, 1)
    ]
    share = float(whole.sum() / (whole.sum() - 1))
    return max(0.0, float((left**2).sum()) / freedom - share * float(np.mean(by_images)))
