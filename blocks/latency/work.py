"""What a unit has to do, and where it lies among others: what its time is interpolated by."""

import itertools
import math
from typing import NamedTuple

from blocks.arch import ACTIVATIONS
from blocks.latency.units import KINDS, TAIL, Unit


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
    area, out_area = unit.in_map.area, unit.out_map.area
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
    out = unit.outputs * unit.out_map.area
    if unit.kind == TAIL:
        features = unit.hidden or unit.inputs
        linear = [features, *([unit.squeezed] if unit.squeezed else []), unit.outputs]
        weights = sum(a * b for a, b in itertools.pairwise(linear))
        calls += 1 + 2 * (len(linear) - 1)
        params += weights
        elements += features * unit.in_map.area + sum(linear)
    elif unit.squeezed:
        calls += 2  # pooling and product
        elements += 3 * unit.hidden * unit.out_map.area
    if unit.adds or unit.projects:
        calls += 1
        elements += 3 * out
    if unit.pools:
        calls += 1
        elements += out + out // 4
    if unit.same and unit.stride == 2:
        calls += 1
        elements += 2 * max(unit.hidden, unit.inputs) * unit.in_map.area
    return [float(calls), pointwise, spatial, depthwise, elements, params]


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
        *(3.0 * (unit.kind == kind) for kind in KINDS),
        *(1.5 * (unit.act == act) for act in ACTIVATIONS),
    ]
