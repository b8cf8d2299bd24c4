"""The pieces that a network is cut into to be timed, and what each has to do.

A unit is a block where it stands: its kind, channels, map, kernel, stride, inner widths. Not in
it: the squeeze-excite's own activation and gate, which work on a handful of numbers.
"""

import math
from typing import Final, NamedTuple

from blocks.arch import BLOCKS, ArchSpec, Size
from blocks.arch.walk import Block, stem_map, strides_to_the_end, walk_alike

STEM, TAIL, RESIDUAL = "stem", "tail", "residual"
KINDS: Final = (STEM, TAIL, RESIDUAL, *BLOCKS)

FAMILIES: Final = {
    STEM: STEM, TAIL: TAIL, RESIDUAL: RESIDUAL,
    "ir": "MBConv", "ds": "MBConv", "er": "Fused-MBConv", "cn": "Fused-MBConv",
    "bt": "bottleneck", "bx": "bottleneck",
}  # fmt: skip
"""Kinds that are alike enough that what was measured of one tells of the other."""


class Unit(NamedTuple):
    """A piece of a network, with everything that its time depends on.

    `kind` is a block's token, or `stem` (with its pooling), `tail` (head convolution of `hidden`
    channels or none, pooling, linear layer of `squeezed` channels or none, classifier), or
    `residual` (a projection of `global_residual`). `side` is the height of the
    map that enters, `wide` its width where it is not square (else 0).
    `adds`: there is an identity shortcut; `projects`: the shortcut is a convolution; `pools`: a
    max pooling follows; `same`: TensorFlow's padding; `group_norm`: instead of batch norm.
    """

    kind: str
    inputs: int
    outputs: int
    side: int
    kernel: int = 1
    stride: int = 1
    hidden: int = 0
    squeezed: int = 0
    groups: int = 1
    act: str = "relu"
    adds: bool = False
    projects: bool = False
    pools: bool = False
    same: bool = False
    group_norm: bool = False
    wide: int = 0

    @property
    def in_map(self) -> Size:
        return Size(self.side, self.wide or self.side)

    @property
    def out_map(self) -> Size:
        return self.in_map.strided(self.stride)

    @property
    def out_side(self) -> float:
        """The side of the map that leaves; where that is not square, of the square as large."""
        out = self.out_map
        return int(out.height) if out.is_square else math.sqrt(out.area)


def units_of(arch: ArchSpec, num_classes: int = 1000) -> list[tuple[Unit, int]]:
    """The units of `Network(arch, num_classes)` in order, equal neighbours counted together."""
    same, group_norm = arch.padding == "same", arch.norm_group_size > 0
    units = [
        (
            Unit(
                STEM, arch.in_channels, arch.stem, arch.resolution, arch.stem_kernel,
                arch.stem_stride, act=arch.act, pools=arch.stem_pool, same=same,
                group_norm=group_norm, wide=_wide(arch.image),
            ),
            1,
        )
    ]  # fmt: skip
    leaving, channels = stem_map(arch), arch.stages[-1].channels
    maps = []  # that leave the stages
    for block, times in walk_alike(arch):
        units.append((_block_unit(arch, block), times))
        leaving = block.out_map
        if block.repeat == 0:
            maps.append(leaving)
    if arch.global_residual:
        strides = strides_to_the_end(arch)
        for stage, its, stride in zip(arch.stages[:-1], maps, strides, strict=False):
            residual = Unit(
                RESIDUAL, stage.channels, channels, its.height, 1, stride, adds=True,
                wide=_wide(its),
            )  # fmt: skip
            units.append((residual, 1))
    tail = Unit(
        TAIL, channels, num_classes, leaving.height, hidden=arch.head, squeezed=arch.head_hidden,
        act=arch.act, group_norm=group_norm, wide=_wide(leaving),
    )  # fmt: skip
    return [*units, (tail, 1)]


def _block_unit(arch: ArchSpec, block: Block) -> Unit:
    stage = block.stage
    return Unit(
        stage.block, block.in_channels, block.out_channels, block.in_map.height, stage.kernel,
        block.stride, block.hidden, block.squeezed, stage.groups, stage.act or arch.act,
        block.adds, block.projects, False, arch.padding == "same", arch.norm_group_size > 0,
        _wide(block.in_map),
    )  # fmt: skip


def _wide(image: Size) -> int:
    return 0 if image.is_square else int(image.width)
