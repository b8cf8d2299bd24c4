"""Few images in folds: each is held out once."""

from collections import Counter
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from blocks.names import counted
from search.config.schema import RunConfig
from search.errors import DataError

Numbers = NDArray[np.int64]
FEW: Final = 200
"""Validation images below which folds are advised: the accuracies of two networks are then known to
some three points."""


def advise(config: RunConfig, train: int, val: int) -> list[str]:
    """That folds would let more images judge, where few do."""
    if config.dataset.folds is not None or val >= FEW or config.search.finalists == 1:
        return []
    return [
        f"only {counted(val, 'val image')}: dataset.folds=5 lets all {train + val:,} of train and "
        "val judge in the final round"
    ]


def deal(
    units: Sequence[bytes], labels: Numbers, folds: int, classes: Sequence[str], where: str
) -> Numbers:
    """(images,): the fold of each image.

    Images of one unit share a fold, and those of each class lie in equal shares: units, the largest
    first, then by their hashes, go where their classes are rarest. `labels` are (images,), or
    (images, classes) of 0 and 1; `where` names the data set in messages.

    Raises:
        DataError: a class of fewer units than folds, or a fold without one; names it.
    """
    marks = labels if labels.ndim == 2 else np.eye(len(classes), dtype=np.int64)[labels]
    sizes = Counter(units)
    order = sorted(sizes, key=lambda unit: (-sizes[unit], unit))
    place = {unit: number for number, unit in enumerate(order)}
    which = np.array([place[unit] for unit in units])
    counts = np.zeros((len(order), len(classes)), dtype=np.int64)
    np.add.at(counts, which, marks)
    totals = np.maximum(1, counts.sum(0))
    held = np.zeros((folds, len(classes)), dtype=np.int64)
    images = np.zeros(folds, dtype=np.int64)
    chosen = np.zeros(len(order), dtype=np.int64)
    for number, unit in enumerate(order):
        own = np.flatnonzero(counts[number])
        shares = (held[:, own] / totals[own]) @ counts[number, own]
        # Rounded, so that equals are equal on every machine; then the fold of the fewest images.
        fold = int(np.lexsort((images, shares.round(9)))[0])
        chosen[number] = fold
        held[fold] += counts[number]
        images[fold] += sizes[unit]
    for label, name in enumerate(classes):
        own_units = int((counts[:, label] > 0).sum())
        if own_units < folds or not held[:, label].all():
            what = f"class {name!r} of {where} has {counted(int(counts[:, label].sum()), 'image')}"
            if own_units < counts[:, label].sum():
                what += f" of {counted(own_units, 'group')}"
            if own_units < folds:
                raise DataError(
                    f"{what} to divide into dataset.folds={folds}; expected {folds} or more that "
                    "may be parted"
                )
            empty = int(np.flatnonzero(held[:, label] == 0)[0])
            raise DataError(
                f"{what}, of which fold {empty + 1} of dataset.folds={folds} would have none, as "
                "its groups hold other classes too; expected fewer folds"
            )
    return np.asarray(chosen[which], dtype=np.int64)
