"""How widths and depths become whole numbers (tensorflow/tpu efficientnet_model.py)."""

import math
from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray


def round_channels(channels: float, divisor: int = 8) -> int:
    """`channels` to the nearest multiple of `divisor`, at least 90% of what was asked.

    Source: `round_filters` of the reference implementation: half rounds up, and a result that
    loses more than 10% goes one step up.
    """
    rounded = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    if rounded < 0.9 * channels:
        rounded += divisor
    return rounded


def floor_channels(channels: float) -> int:
    """`channels` down to a whole number, at least 8 (as articles that retell the paper have it)."""
    return max(8, math.floor(channels))


def floor8_channels(channels: float) -> int:
    """`channels` down to a multiple of 8, at least 8."""
    return max(8, math.floor(channels) // 8 * 8)


ROUNDINGS: Final[dict[str, Callable[[float], int]]] = {
    "paper": round_channels,
    "floor": floor_channels,
    "floor8": floor8_channels,
}
"""Rounding policy → what it makes of a scaled width: 32·1.4 = 44.8 → 48, 44, 40."""


def round_column(policy: str, channels: NDArray[np.float64], divisor: int = 8) -> NDArray[np.int64]:
    """`ROUNDINGS[policy]` of every element (`divisor` is that of the paper's policy)."""
    if policy == "floor":
        return np.maximum(8, np.floor(channels).astype(np.int64))
    if policy == "floor8":
        return np.maximum(8, np.floor(channels).astype(np.int64) // 8 * 8)
    rounded = np.maximum(divisor, (channels + divisor / 2).astype(np.int64) // divisor * divisor)
    return np.where(rounded < 0.9 * channels, rounded + divisor, rounded)


def round_repeats(repeats: float) -> int:
    """`repeats` up to a whole number (`round_repeats` of the reference implementation).

    The guard keeps floating-point dust, such as √2² = 2.0000000000000004, from buying a
    whole block.
    """
    return max(1, math.ceil(repeats - 1e-9))


def expanded_channels(channels: int, expand_ratio: float) -> int:
    """Inner width of a block whose `expand_ratio` is relative to `channels`."""
    return round(channels * expand_ratio)


def squeezed_channels(channels: int, se_ratio: float, divisor: int = 1) -> int:
    """Width of the squeeze-excite bottleneck whose `se_ratio` is relative to `channels`.

    Down to a whole number (EfficientNet), or by the 90% rule to a multiple of `divisor`
    (MobileNetV3).
    """
    if divisor == 1:
        return max(1, int(channels * se_ratio))
    return round_channels(channels * se_ratio, divisor)
