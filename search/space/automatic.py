"""The space that is made for the images at hand: `space=auto`.

Its shape is that of EfficientNet-B0 (arXiv 1905.11946, Table 1): stages that grow wider as the map
is halved. B0 halves a map of 224 pixels five times, to 7. Smaller images are halved as often as
leaves a last map of 4 to 8 pixels, and where that is done is a choice.
"""

from dataclasses import replace
from itertools import combinations
from typing import Final

from blocks.arch import Size
from search.config.schema import SpaceConfig, StageConfig

LAST_MAP: Final = (4, 8)
"""Least and most pixels of a side of the last map."""
STAGES: Final = (
    StageConfig(channels=16, repeats=[1, 2]),
    StageConfig(channels=24, repeats=[0, 1, 2, 3]),
    StageConfig(channels=40, repeats=[1, 2, 3]),
    StageConfig(channels=80, repeats=[1, 2, 3, 4]),
    StageConfig(channels=160, repeats=[0, 1, 2]),
)
"""B0's seven, those of one map size together; the first never halves the map, as in B0."""


def automatic(config: SpaceConfig, image: Size) -> SpaceConfig:
    """`config` with stages, and places to halve the map, for images of this size."""
    patterns = stride_patterns(image.shorter, len(STAGES))
    # The stem and each stage halve the map once at most: so many are needed, the rest may go.
    spare = len(STAGES) + 1 - max(pattern.count("2") for pattern in patterns)
    stages = []
    for stage in STAGES:
        if 0 in stage.repeats:
            spare -= 1
            if spare < 0:
                stage = replace(stage, repeats=[each for each in stage.repeats if each])
        stages.append(stage)
    return replace(config, stages=stages, strides=patterns)


def stride_patterns(resolution: int, stages: int) -> list[str]:
    """Every way to halve the map, once a stage at most and not in the first, that leaves a last map
    of `LAST_MAP` pixels on its shorter side; early halvings, which are the cheapest, first.

    Of images that are too large or too small for that, the nearest.
    """
    places = [0, *range(2, stages + 1)]
    least, most = LAST_MAP
    off = {}
    for halvings in range(len(places), -1, -1):
        side = -(-resolution // 2**halvings)
        off[halvings] = max(least - side, side - most, 0)
    return [
        "-".join("2" if place in halved else "1" for place in range(stages + 1))
        for halvings in off
        if off[halvings] == min(off.values())
        for halved in combinations(places, halvings)
    ]
