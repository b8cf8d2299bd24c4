"""The networks one would have used: published ones, cut to the images and brought to the budget.

A published network is made for 224 pixels and a budget of its own. On small images its strides
leave a map of one pixel, and narrowing alone starves it: EfficientNet-B0 at 2M macs would have
sixteen blocks of eight channels. So strides are taken out, from the front, until the last map has
`LAST_MAP` pixels, and depth shrinks along with the width, as compound scaling grows them
(arXiv 1905.11946, §3.3: depth by α = 1.2 where width grows by β = 1.1).
"""

import math
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from blocks.arch import ArchSpec, Size, StageSpec, size_from
from blocks.arch.walk import last_map
from blocks.cost import ArchColumns
from blocks.zoo import find_arch
from search.errors import ConfigError
from search.space.budget import Budget
from search.space.widths import solve_width, with_widths

Array = NDArray[np.float64]
LAST_MAP: Final = 4
"""Least side of the last map, in pixels, where the image has as many."""
DEPTH_BY_WIDTH: Final = math.log(1.2) / math.log(1.1)
"""Depth goes as the width to this power."""
DEEPER: Final = 3
"""At most so many times the published depth is looked at."""


@dataclass(frozen=True)
class Reference:
    """A published network as it is trained here.

    `taken` of its strides were taken out, the first of them the one after `kept`. `depth` is the
    share of its blocks that is left, `width` what its widths were multiplied by.
    """

    name: str
    arch: ArchSpec
    taken: int
    kept: int
    depth: float
    width: float

    def describe(self) -> str:
        """What was done to it, for people."""
        where = f" after the first {self.kept}" if self.kept else ""
        cut = f"{self.taken} of its strides{where} taken out, " if self.taken else ""
        return f"{self.name}: {cut}{self.depth:.2f} of its depth, {self.width:.2f} of its width"


def make_reference(
    name: str, image: Size | int, in_channels: int, budget: Budget, num_classes: int
) -> Reference:
    """The published network `name` for these images, at the budget.

    Strides are taken out from the front. Where even the least depth does not meet the budget so,
    the first strides are kept, and later ones taken out.

    Raises:
        ArchError: there is no such network.
        ConfigError: it cannot be brought to the budget; names the nearest that it can be.
    """
    image = size_from(image)
    published = replace(find_arch(name), in_channels=in_channels)
    aim = float(budget.most if budget.target is None else budget.target)
    nearest = math.inf
    for kept in range(len(strided(published))):
        arch, taken = cut_to_images(published, image, kept)
        if last_map(arch, image).shorter < min(LAST_MAP, image.shorter):
            break
        arch = arch.with_image(image)
        shapes, depths = _depths(arch)
        columns = ArchColumns.from_archs(shapes)
        solved, _ = solve_width(budget, columns, num_classes)
        values = budget.measure(solved, num_classes)
        widths = _widths(columns, solved)
        off = np.abs(np.log(depths) - DEPTH_BY_WIDTH * np.log(widths))
        off = np.where(budget.excess(values) > 0, np.inf, off)
        row = int(np.argmin(off))
        if np.isfinite(off[row]):
            skip = [stage.skip for stage in shapes[row].stages]
            found = with_widths(shapes[row], solved, row, skip)
            return Reference(name, found, taken, kept, float(depths[row]), float(widths[row]))
        nearest = min([nearest, *map(float, values)], key=lambda value: abs(math.log(value / aim)))
        if not taken:
            break
    raise ConfigError(
        f"{name} cannot be brought to the budget ({budget}) at {image} px; the nearest has "
        f"{budget.say(nearest)}"
    )


def _widths(shapes: ArchColumns, solved: ArchColumns) -> Array:
    """By what rounding left of it, the stages' widths were multiplied: their geometric mean."""
    ratios = np.where(shapes.present, np.log(solved.channels / shapes.channels), 0.0)
    widths: Array = np.exp(ratios.sum(1) / shapes.present.sum(1))
    return widths


def cut_to_images(arch: ArchSpec, image: Size, kept: int = 0) -> tuple[ArchSpec, int]:
    """`arch` without the strides that such images are too small for, and how many these were.

    They are taken out from the front, all but the first `kept`.
    """
    taken = 0
    least = min(LAST_MAP, image.shorter)
    while last_map(arch, image).shorter < least and len(strided(arch)) > kept:
        arch, taken = _without_stride(arch, strided(arch)[kept]), taken + 1
    return arch, taken


def strided(arch: ArchSpec) -> list[int]:
    """Where the map is halved: −2 the stem, −1 the pooling after it, else the stage's place."""
    places = [-2] if arch.stem_stride == 2 else []
    places += [-1] if arch.stem_pool else []
    return places + [place for place, stage in enumerate(arch.stages) if stage.stride == 2]


def _without_stride(arch: ArchSpec, place: int) -> ArchSpec:
    if place == -2:
        return replace(arch, stem_stride=1)
    if place == -1:
        return replace(arch, stem_pool=False)
    stages = list(arch.stages)
    stages[place] = replace(stages[place], stride=1)
    return replace(arch, stages=tuple(stages))


def _depths(arch: ArchSpec) -> tuple[list[ArchSpec], Array]:
    """`arch` with fewer and more blocks, down to one for every size of map; and their shares."""
    blocks = sum(stage.repeats for stage in arch.stages)
    least = len(_levels(arch))
    shapes = dict.fromkeys(
        with_depth(arch, number / blocks) for number in range(least, DEEPER * blocks + 1)
    )
    depths = [sum(stage.repeats for stage in shape.stages) / blocks for shape in shapes]
    return list(shapes), np.array(depths)


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
            stages.append(replace(stage, stride=level[0].stride if place == kept[0] else 1))
    return replace(arch, stages=tuple(stages))


def _levels(arch: ArchSpec) -> list[list[StageSpec]]:
    """The stages by the size of their map: a new level begins where it is halved."""
    levels: list[list[StageSpec]] = []
    for stage in arch.stages:
        if not levels or stage.stride == 2:
            levels.append([])
        levels[-1].append(stage)
    return levels
