"""The networks one would have used: published ones, cut to the images and brought to the budget.

A published network is made for 224 pixels and its own budget. On small images its strides leave a
map of one pixel, and narrowing alone starves it: EfficientNet-B0 at 2M macs would have stages of
eight channels, sixteen blocks deep. So strides are taken out from the front, until the last map
has `LAST_MAP` pixels, and depth shrinks along with the width, as compound scaling grows them
(arXiv 1905.11946, §3.3: depth by α = 1.2 where width grows by β = 1.1).
"""

import math
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from blocks.arch import ArchSpec, StageSpec
from blocks.arch.walk import stem_side
from blocks.cost import ArchColumns
from search.space.budget import Budget
from search.space.widths import solve_width, with_widths

LAST_MAP: Final = 4
"""Least side of the last map, in pixels."""
DEPTH_BY_WIDTH: Final = math.log(1.2) / math.log(1.1)
"""Depth goes as the width to this power."""
DEEPER: Final = 3
"""At most so many times the published depth is looked at."""


@dataclass(frozen=True)
class Reference:
    """A published network as it is trained here.

    `halvings` were taken out; `depth` and `width` are what is left, as shares of the published.
    """

    name: str
    arch: ArchSpec
    halvings: int
    depth: float
    width: float

    def describe(self) -> str:
        """What was done to it, for people."""
        cut = f"{self.halvings} of its strides taken out, " if self.halvings else ""
        return f"{self.name}: {cut}depth × {self.depth:.2f}, width × {self.width:.2f}"


def cut_to_images(arch: ArchSpec, resolution: int, in_channels: int) -> tuple[ArchSpec, int]:
    """`arch` for these images, strides taken out from the front; and how many."""
    arch = replace(arch, resolution=resolution, in_channels=in_channels)
    taken = 0
    while last_side(arch) < LAST_MAP and last_side(arch) < resolution:
        arch, taken = _without_first_stride(arch), taken + 1
    return arch, taken


def last_side(arch: ArchSpec) -> int:
    """Side of the last map, in pixels."""
    side = stem_side(arch)
    for stage in arch.stages:
        side = -(-side // stage.stride)
    return side


def _without_first_stride(arch: ArchSpec) -> ArchSpec:
    if arch.stem_pool:
        return replace(arch, stem_pool=False)
    if arch.stem_stride == 2:
        return replace(arch, stem_stride=1)
    stages = list(arch.stages)
    first = next(place for place, stage in enumerate(stages) if stage.stride == 2)
    stages[first] = replace(stages[first], stride=1)
    return replace(arch, stages=tuple(stages))


def bring_to_budget(
    name: str, arch: ArchSpec, budget: Budget, num_classes: int
) -> Reference | None:
    """`arch` at the budget, depth and width scaled together; None where no depth meets it."""
    blocks = sum(stage.repeats for stage in arch.stages)
    shapes = [
        shape
        for depth in range(len(_levels(arch)), DEEPER * blocks + 1)
        if (shape := with_depth(arch, depth / blocks)) is not None
    ]
    shapes = list(dict.fromkeys(shapes))
    columns = ArchColumns.from_archs(shapes)
    solved, multiplier = solve_width(budget, columns, num_classes)
    value = budget.measure(solved, num_classes)
    depth = np.array([sum(stage.repeats for stage in shape.stages) for shape in shapes]) / blocks
    apart = np.abs(np.log(depth) - DEPTH_BY_WIDTH * np.log(multiplier))
    apart = np.where(budget.excess(value) > 0, np.inf, apart)
    row = int(np.argmin(apart))
    if not np.isfinite(apart[row]):
        return None
    skip = [stage.skip for stage in shapes[row].stages]
    found = with_widths(shapes[row], solved, row, skip)
    return Reference(name, found, 0, float(depth[row]), float(multiplier[row]))


def with_depth(arch: ArchSpec, share: float) -> ArchSpec:
    """`arch` with `share` of its blocks.

    A stage of less than half a block is left out, and its stride goes to the next of the same map
    size; of every map size the stage of most blocks stays.
    """
    stages = []
    for level in _levels(arch):
        wanted = [stage.repeats * share for stage in level]
        kept = [place for place, blocks in enumerate(wanted) if blocks >= 0.5]
        kept = kept or [max(range(len(level)), key=lambda place: (wanted[place], place))]
        for place in kept:
            stage = replace(level[place], repeats=max(1, round(wanted[place])))
            first = place == kept[0]
            stages.append(replace(stage, stride=level[0].stride if first else 1))
    return replace(arch, stages=tuple(stages))


def _levels(arch: ArchSpec) -> list[list[StageSpec]]:
    """The stages by the size of their map: a new level begins where it is halved."""
    levels: list[list[StageSpec]] = []
    for stage in arch.stages:
        if not levels or stage.stride == 2:
            levels.append([])
        levels[-1].append(stage)
    return levels
