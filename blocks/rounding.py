"""How widths and depths become whole numbers (tensorflow/tpu efficientnet_model.py)."""

import math


def round_channels(channels: float, divisor: int = 8) -> int:
    """`channels` to the nearest multiple of `divisor`, at least 90% of what was asked.

    Source: `round_filters` of the reference implementation: half rounds up, and a result that
    loses more than 10% goes one step up.
    """
    rounded = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    if rounded < 0.9 * channels:
        rounded += divisor
    return rounded


def round_repeats(repeats: float) -> int:
    """`repeats` up to a whole number (`round_repeats` of the reference implementation).

    The guard keeps floating-point dust, such as √2² = 2.0000000000000004, from buying a
    whole block.
    """
    return max(1, math.ceil(repeats - 1e-9))


def expanded_channels(in_channels: int, expand_ratio: float) -> int:
    """Width of the depthwise convolution inside a block."""
    return round(in_channels * expand_ratio)


def squeezed_channels(in_channels: int, se_ratio: float) -> int:
    """Width of the squeeze-excite bottleneck, relative to the block's input channels."""
    return max(1, int(in_channels * se_ratio))
