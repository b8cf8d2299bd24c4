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


def dominators(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """How many other rows dominate each of (rows, objectives), all objectives up."""
    others, each = values[None], values[:, None]
    better = (others >= each).all(2) & (others > each).any(2)
    number: NDArray[np.int64] = better.sum(1)
    return number


def hypervolume_added(
    points: NDArray[np.float64], front: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Area that each of `points` (n, 2) adds to that of `front` (m, 2), both objectives up.

    The reference corner is 0.1 below the lower corner of the unit square, which `front` spans.
    """
    corner = -0.1
    ordered = front[np.argsort(front[:, 0])]
    edges = np.concatenate([[corner], ordered[:, 0], [np.inf]])
    # Height of the staircase between two edges: the highest point at or right of them.
    heights = np.maximum.accumulate(np.append(ordered[:, 1], corner)[::-1])[::-1]
    total = np.zeros(len(points))
    for left, right, height in zip(edges[:-1], edges[1:], heights, strict=True):
        width = np.clip(np.minimum(points[:, 0], right) - left, 0.0, None)
        total += width * np.clip(points[:, 1] - height, 0.0, None)
    return total


def reward(accuracy: float, macs: int, target_macs: int, exponent: float) -> float:
    """ACC·(macs/target)^exponent (EfficientNet §3.2, MnasNet eq. 2; their exponent is −0.07)."""
    return float(accuracy * (macs / target_macs) ** exponent)
