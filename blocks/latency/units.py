"""The pieces that a network is cut into to be timed, and what each has to do.

A unit is a block where it stands: its kind, channels, map, kernel, stride, inner widths. Not in
it: the squeeze-excite's own activation and gate, which work on a handful of numbers.
"""

from typing import Final, NamedTuple

from blocks.arch import BLOCKS, ArchSpec
from blocks.arch.walk import Block, stem_side, strides_to_the_end, walk_alike

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
    `residual` (a projection of `global_residual`). `side` is that of the map which enters.
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

    @property
    def out_side(self) -> int:
        return -(-self.side // self.stride)


def units_of(arch: ArchSpec, num_classes: int = 1000) -> list[tuple[Unit, int]]:
    """The units of `Network(arch, num_classes)` in order, equal neighbours counted together."""
    same, group_norm = arch.padding == "same", arch.norm_group_size > 0
    units = [
        (
            Unit(
                STEM, arch.in_channels, arch.stem, arch.resolution, arch.stem_kernel,
                arch.stem_stride, act=arch.act, pools=arch.stem_pool, same=same,
                group_norm=group_norm,
            ),
            1,
        )
    ]  # fmt: skip
    side, channels = stem_side(arch), arch.stages[-1].channels
    sides = []  # of the maps that leave the stages
    for block, times in walk_alike(arch):
        units.append((_block_unit(arch, block), times))
        side = block.out_side
        if block.repeat == 0:
            sides.append(side)
    if arch.global_residual:
        strides = strides_to_the_end(arch)
        for stage, its_side, stride in zip(arch.stages[:-1], sides, strides, strict=False):
            residual = Unit(RESIDUAL, stage.channels, channels, its_side, 1, stride, adds=True)
            units.append((residual, 1))
    tail = Unit(
        TAIL, channels, num_classes, side, hidden=arch.head, squeezed=arch.head_hidden,
        act=arch.act, group_norm=group_norm,
    )  # fmt: skip
    return [*units, (tail, 1)]


def _block_unit(arch: ArchSpec, block: Block) -> Unit:
    stage = block.stage
    return Unit(
        stage.block, block.in_channels, block.out_channels, block.in_side, stage.kernel,
        block.stride, block.hidden, block.squeezed, stage.groups, stage.act or arch.act,
        block.adds, block.projects, False, arch.padding == "same", arch.norm_group_size > 0,
    )  # fmt: skip
