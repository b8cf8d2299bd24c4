"""The pieces that a network is cut into to be timed, and what each has to do.

A unit is a block where it stands: its kind, channels, map, kernel, stride, inner widths. Not in
it: the squeeze-excite's own activation and gate, which work on a handful of numbers.
"""

import itertools
import math
from typing import Final, NamedTuple

from blocks.arch import ACTIVATIONS, BLOCKS, ArchSpec
from blocks.arch.walk import Block, stem_side, strides_to_the_end, walk_alike

STEM, TAIL, RESIDUAL = "stem", "tail", "residual"


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


class _Convolution(NamedTuple):
    inputs: int  # per group
    outputs: int
    entering: int  # elements
    area: int  # of the output
    kernel: int = 1
    acts: bool = True
    normalised: bool = True


def convolutions(unit: Unit) -> list[_Convolution]:
    """The convolutions of a unit, squeeze-excite's among them, in the order of execution."""
    inputs, outputs, hidden, taps = unit.inputs, unit.outputs, unit.hidden, unit.kernel
    area, out_area = unit.side**2, unit.out_side**2
    conv = _Convolution
    squeeze = (
        [
            conv(hidden, unit.squeezed, hidden, 1, normalised=False),
            conv(unit.squeezed, hidden, unit.squeezed, 1, normalised=False),
        ]
        if unit.squeezed and unit.kind != TAIL
        else []
    )
    match unit.kind:
        case "stem" | "cn":
            return [conv(inputs, outputs, inputs * area, out_area, taps)]
        case "residual":
            return [conv(inputs, outputs, inputs * out_area, out_area, acts=False)]
        case "tail":
            return [conv(inputs, hidden, inputs * area, area)] if hidden else []
        case "bt" | "bx":
            shortcut = conv(inputs, outputs, inputs * out_area, out_area, acts=False)
            return [
                conv(inputs, hidden, inputs * area, area),
                conv(hidden // unit.groups, hidden, hidden * area, out_area, taps),
                conv(hidden, outputs, hidden * out_area, out_area),
                *([shortcut] if unit.projects else []),
            ]
        case "er":
            spatial = [conv(inputs, hidden, inputs * area, out_area, taps)]
        case _:
            spatial = [conv(1, hidden, hidden * area, out_area, taps)]
            if unit.kind == "ir":
                spatial.insert(0, conv(inputs, hidden, inputs * area, area))
    project = conv(hidden, outputs, hidden * out_area, out_area, acts=False)
    return [*spatial, *squeeze, project]


def work(unit: Unit) -> list[float]:
    """What a unit has to do: operator calls, multiply-adds (1×1, k×k, depthwise), elements, params.

    The model's milliseconds are a non-negative combination of these.
    """
    calls = pointwise = spatial = depthwise = elements = params = 0
    for conv in convolutions(unit):
        weights = conv.inputs * conv.outputs * conv.kernel**2
        out = conv.outputs * conv.area
        calls += 1 + conv.normalised + conv.acts
        params += weights
        elements += conv.entering + out * (1 + 2 * conv.normalised + 2 * conv.acts)
        if conv.kernel == 1:
            pointwise += weights * conv.area
        elif conv.inputs == 1:
            depthwise += weights * conv.area
        else:
            spatial += weights * conv.area
    out = unit.outputs * unit.out_side**2
    if unit.kind == TAIL:
        features = unit.hidden or unit.inputs
        linear = [features, *([unit.squeezed] if unit.squeezed else []), unit.outputs]
        weights = sum(a * b for a, b in itertools.pairwise(linear))
        calls += 1 + 2 * (len(linear) - 1)
        params += weights
        elements += features * unit.side**2 + sum(linear)
    elif unit.squeezed:
        calls += 2  # pooling and product
        elements += 3 * unit.hidden * unit.out_side**2
    if unit.adds or unit.projects:
        calls += 1
        elements += 3 * out
    if unit.pools:
        calls += 1
        elements += out + out // 4
    if unit.same and unit.stride == 2:
        calls += 1
        elements += 2 * max(unit.hidden, unit.inputs) * unit.side**2
    return [float(calls), pointwise, spatial, depthwise, elements, params]


_KINDS: Final = (STEM, TAIL, RESIDUAL, *BLOCKS)


def features(unit: Unit) -> list[float]:
    """Where a unit lies among others: sizes and work in octaves, and what is or is not there.

    The numbers that multiply what is there set how far apart, in octaves, it puts two units.
    """
    sizes = [
        unit.inputs, unit.outputs, unit.hidden, unit.squeezed, unit.out_side, unit.kernel,
        unit.groups,
    ]  # fmt: skip
    flags = [
        unit.stride == 2, unit.adds, unit.projects, unit.pools, unit.same, unit.group_norm,
        unit.squeezed > 0,
    ]  # fmt: skip
    return [
        *(math.log2(size + 1) for size in (*sizes, *work(unit)[1:])),
        *(2.0 * flag for flag in flags),
        *(3.0 * (unit.kind == kind) for kind in _KINDS),
        *(1.5 * (unit.act == act) for act in ACTIVATIONS),
    ]


FAMILIES: Final = {
    STEM: STEM, TAIL: TAIL, RESIDUAL: RESIDUAL,
    "ir": "MBConv", "ds": "MBConv", "er": "Fused-MBConv", "cn": "Fused-MBConv",
    "bt": "bottleneck", "bx": "bottleneck",
}  # fmt: skip
"""Kinds that are alike enough that what was measured of one tells of the other."""
