"""What one network costs, by arithmetic over its blocks."""

from collections.abc import Iterator
from dataclasses import dataclass

from blocks.arch import ArchSpec
from blocks.arch.walk import stem_map, walk_alike
from blocks.cost.parts import FORMULAS, Part, conv_part


@dataclass(frozen=True, slots=True)
class Cost:
    """Integers for one input image: parameters, multiply-adds, fvcore's total, activations.

    `activations` are the outputs of convolutions and linear layers, in elements
    (Designing Network Design Spaces, arXiv 2003.13678).
    """

    params: int
    macs: int
    flops_fvcore: int
    activations: int


def count(arch: ArchSpec, num_classes: int = 1000) -> Cost:
    """The exact cost of `Network(arch, num_classes)` at `arch.image`, without building it."""
    params = conv = norm_elements = pooled = activations = 0
    for _, repeats, part in _parts(arch):
        params += repeats * part.params
        conv += repeats * part.conv
        norm_elements += repeats * part.norm_elements
        pooled += repeats * part.pooled
        activations += repeats * part.activations
    linear, linear_params, linear_activations = _linear(arch, num_classes)
    macs = conv + linear
    return Cost(
        params=params + linear_params,
        macs=macs,
        flops_fvcore=macs + _norm_flops(arch) * norm_elements + pooled,
        activations=activations + linear_activations,
    )


def count_by_operator(arch: ArchSpec, num_classes: int = 1000) -> dict[str, int]:
    """`flops_fvcore` split as fvcore's `by_operator()` splits it."""
    norm = "group_norm" if arch.norm_group_size else "batch_norm"
    totals = {"conv": 0, norm: 0, "adaptive_avg_pool2d": 0}
    for _, repeats, part in _parts(arch):
        totals["conv"] += repeats * part.conv
        totals[norm] += repeats * _norm_flops(arch) * part.norm_elements
        totals["adaptive_avg_pool2d"] += repeats * part.pooled
    return {**totals, "linear": _linear(arch, num_classes)[0]}


def count_by_stage(arch: ArchSpec, num_classes: int = 1000) -> list[Cost]:
    """`count` split into stem, each stage, and head with classifier; the sum is `count`."""
    costs = [Cost(0, 0, 0, 0) for _ in range(len(arch.stages) + 2)]
    macs, params, activations = _linear(arch, num_classes)
    linear = Part(params, macs, 0, 0, activations)
    for where, repeats, part in [*_parts(arch), (-1, 1, linear)]:
        before = costs[where]
        fvcore = part.conv + _norm_flops(arch) * part.norm_elements + part.pooled
        costs[where] = Cost(
            before.params + repeats * part.params,
            before.macs + repeats * part.conv,
            before.flops_fvcore + repeats * fvcore,
            before.activations + repeats * part.activations,
        )
    return costs


def _norm_flops(arch: ArchSpec) -> int:
    return 5 if arch.norm_group_size else 2


def _linear(arch: ArchSpec, num_classes: int) -> tuple[int, int, int]:
    """macs, params and activations of the linear layers behind the pooling."""
    features = arch.head or arch.stages[-1].channels
    hidden = arch.head_hidden
    if not hidden:
        macs = features * num_classes
        return macs, macs + num_classes, num_classes
    macs = features * hidden + hidden * num_classes
    return macs, macs + hidden + num_classes, hidden + num_classes


def _parts(arch: ArchSpec) -> Iterator[tuple[int, int, Part]]:
    """(where, how often, cost) of each stage's first and later blocks, from stem to head.

    The stem is at 0, stages count from 1, and what comes behind them is at -1.
    """
    stem, taps = arch.image.strided(arch.stem_stride), arch.stem_kernel * arch.stem_kernel
    yield 0, 1, conv_part(arch.in_channels, arch.stem, stem.area, taps)
    leaving = stem_map(arch)
    for block, times in walk_alike(arch):
        part = FORMULAS[block.stage.block](block, block.squeezed > 0, block.projects)
        yield block.stage_index + 1, times, part
        leaving = block.out_map
    area, channels = leaving.area, arch.stages[-1].channels
    if arch.global_residual:
        for stage in arch.stages[:-1]:
            yield -1, 1, conv_part(stage.channels, channels, area)
    if arch.head:
        part = conv_part(channels, arch.head, area)
        yield -1, 1, part._replace(pooled=part.activations)
    else:
        yield -1, 1, Part(0, 0, 0, channels * area, 0)
