"""Random networks of the kinds that search spaces and the literature have."""

import math
import random
from typing import Final, NamedTuple

from blocks.arch import ACTIVATIONS, ArchSpec, StageSpec
from blocks.cost import count
from blocks.errors import CompoundNasError, LatencyError
from blocks.rounding import round_channels

# How random networks are drawn: a table's range is theirs.
_SHARES: Final = {"mobile": 0.65, "fused": 0.2, "bottleneck": 0.15}
_USUAL_RESOLUTIONS: Final = (32, 48, 64, 96, 128, 160, 192, 224, 224, 240, 260, 288, 320, 384)


class Inputs(NamedTuple):
    """The images that networks are drawn for; None: of all sizes, and mostly of three channels."""

    resolution: tuple[int, int] | None = None  # least and most, pixels
    channels: int | None = None


ALL_INPUTS: Final = Inputs()


def draw_arch(draw: random.Random, most_macs: float, inputs: Inputs = ALL_INPUTS) -> ArchSpec:
    """A random network of the kinds that search spaces and the literature have."""
    while True:
        try:
            arch = _draw_arch(draw, inputs)
        except CompoundNasError:  # a resolution too small for the strides: draw again
            continue
        if count(arch).macs <= most_macs:
            return arch


def _draw_arch(draw: random.Random, inputs: Inputs) -> ArchSpec:
    (family,) = draw.choices(list(_SHARES), list(_SHARES.values()))
    usual = draw.random() < 0.5
    resolution = draw.choice(_USUAL_RESOLUTIONS) if usual else _between(draw, 24, 400)
    if inputs.resolution is not None:
        resolution = draw.randint(*inputs.resolution)
    act = draw.choice(list(ACTIVATIONS)) if family != "bottleneck" else "relu"
    stem_stride = 1 if resolution < 64 and draw.random() < 0.5 else 2
    stem_pool = draw.random() < (0.6 if family == "bottleneck" else 0.05)
    halvings = (stem_stride == 2) + stem_pool
    stages = draw.randint(2, 7)
    strided = max(0, round(math.log2(resolution / draw.choice([4, 7, 7, 10, 16]))) - halvings)
    strided = min(strided, stages)
    strides = [2] * strided + [1] * (stages - strided)
    draw.shuffle(strides)
    stem = round_channels(_between(draw, 8, 72))
    widest = _between(draw, *((256, 2048) if family == "bottleneck" else (64, 704)))
    growth = (widest / stem) ** (1 / stages)
    channels = [stem * growth ** (number + draw.uniform(-0.7, 1.1)) for number in range(stages)]
    channels = [min(width, widest) for width in channels]
    squeezes = draw.random() < 0.6
    rows = tuple(
        _draw_stage(draw, family, number / stages, stride, width, squeezes)
        for number, (stride, width) in enumerate(zip(strides, channels, strict=True))
    )
    without_head = draw.random() < (0.9 if family == "bottleneck" else 0.1)
    return ArchSpec(
        stem=stem,
        stages=rows,
        head=0 if without_head else round_channels(_between(draw, 64, 1600)),
        head_hidden=_between(draw, 128, 1280) if draw.random() < 0.12 else 0,
        resolution=resolution,
        act=act,
        stem_stride=stem_stride,
        stem_kernel=7 if stem_pool else 3,
        stem_pool=stem_pool,
        in_channels=inputs.channels or (1 if draw.random() < 0.15 else 3),
        se_base="expanded" if draw.random() < 0.2 else "input",
        padding="same" if draw.random() < 0.12 else "symmetric",
    )


def _draw_stage(
    draw: random.Random, family: str, depth: float, stride: int, width: float, squeezes: bool
) -> StageSpec:
    kernel = draw.choice([3, 3, 5, 5, 7])
    expand_ratio: float = draw.choice([1, 2, 3, 4, 6, 6])
    if family == "bottleneck":
        block = draw.choice(["bt", "bx"])
        groups = draw.choice([4, 8, 16, 32]) if block == "bx" else 1
        kernel = draw.choice([3, 3, 3, 5])
        expand_ratio = draw.choice([0.25, 0.5]) if block == "bt" else 0.5
        channels = max(1, round(width / (4 * groups))) * 4 * groups
    else:
        fused = family == "fused" and depth < draw.uniform(0.2, 0.8)
        block = ("cn" if expand_ratio == 1 else "er") if fused else ("ds", "ir")[expand_ratio > 1]
        kernel = draw.choice([3, 3, 3, 5]) if fused else kernel
        groups, channels = 1, round_channels(width)
    return StageSpec(
        block=block,
        repeats=draw.randint(1, 3),
        kernel=kernel,
        stride=stride,
        expand_ratio=expand_ratio,
        channels=channels,
        se_ratio=0.25 if squeezes and block in ("ir", "ds", "er") else 0.0,
        skip=draw.random() < 0.9,
        groups=groups,
    )


def _between(draw: random.Random, low: int, high: int) -> int:
    """A whole number from `low` to `high`, each octave as likely as another."""
    return round(2 ** draw.uniform(math.log2(low), math.log2(high)))


def check_inputs(inputs: Inputs) -> None:
    """Refuse images that no network can be drawn for.

    Raises:
        LatencyError: a range of pixels that is none, or no channels.
    """
    if inputs.resolution is not None and not 8 <= inputs.resolution[0] <= inputs.resolution[1]:
        low, high = inputs.resolution
        raise LatencyError(
            f"resolution {low},{high} is not a range of pixels; expected 8 ≤ LOW ≤ HIGH"
        )
    if inputs.channels is not None and inputs.channels < 1:
        raise LatencyError(f"in_channels {inputs.channels} is too small; expected 1 or more")
