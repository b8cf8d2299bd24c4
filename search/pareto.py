"""Pareto fronts and their volume: arrays in, arrays out."""

import numpy as np
from numpy.typing import ArrayLike, NDArray


def non_dominated(accuracy: ArrayLike, cost: ArrayLike) -> NDArray[np.bool_]:
    """Mask (n,) of the points that no other beats: accuracy up, cost down.

    Of points equal in both, the first alone is kept.
    """
    up, down = np.asarray(accuracy, dtype=float), np.asarray(cost, dtype=float)
    mask = np.zeros(len(up), dtype=bool)
    best = -np.inf
    # Cheapest first, the more accurate of equals first: a point survives if it raises the best.
    for index in np.lexsort((np.arange(len(up)), -up, down)):
        if up[index] > best:
            mask[index] = True
            best = up[index]
    return mask


def hypervolume(
    accuracy: ArrayLike, cost: ArrayLike, reference_accuracy: float, reference_cost: float
) -> float:
    """Area that the points dominate inside the reference corner (lowest accuracy, highest cost)."""
    up, down = np.asarray(accuracy, dtype=float), np.asarray(cost, dtype=float)
    keep = non_dominated(up, down) & (up > reference_accuracy) & (down < reference_cost)
    order = np.argsort(down[keep])
    front_up, front_down = up[keep][order], down[keep][order]
    edges = np.append(front_down, reference_cost)
    return float(np.sum((front_up - reference_accuracy) * np.diff(edges)))


def reward(accuracy: float, macs: int, target_macs: int, exponent: float) -> float:
    """ACC·(macs/target)^exponent (EfficientNet §3.2, MnasNet eq. 2; their exponent is −0.07)."""
    return float(accuracy * (macs / target_macs) ** exponent)
