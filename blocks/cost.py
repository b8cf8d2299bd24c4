"""What a network costs, by arithmetic, and the measuring tool that referees it.

`macs` are the papers' multiply-adds: convolutions and linear layers only. `flops_fvcore` is
fvcore's total in eval mode: the same multiply-adds, plus 2 per batch-norm output element and
1 per element that adaptive average pooling reads (fvcore `jit_handles.py`). Activations of
SiLU or sigmoid, additions and the squeeze-excite product are counted by neither.
"""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from blocks.arch import STEM_KERNEL, ArchSpec
from blocks.errors import CostMismatchError
from blocks.rounding import expanded_channels, squeezed_channels

if TYPE_CHECKING:
    from blocks.network import Network


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


class _Part(NamedTuple):
    """Cost of a block: conv and linear macs, batch-norm elements, pooled elements, …"""

    params: int
    conv: int
    norm_elements: int
    pooled: int
    activations: int


def count(arch: ArchSpec, num_classes: int = 1000) -> Cost:
    """The exact cost of `Network(arch, num_classes)` at `arch.resolution`, without building it."""
    params = conv = norm_elements = pooled = activations = 0
    for repeats, part in _parts(arch):
        params += repeats * part.params
        conv += repeats * part.conv
        norm_elements += repeats * part.norm_elements
        pooled += repeats * part.pooled
        activations += repeats * part.activations
    linear = arch.head * num_classes
    macs = conv + linear
    return Cost(
        params=params + linear + num_classes,
        macs=macs,
        flops_fvcore=macs + 2 * norm_elements + pooled,
        activations=activations + num_classes,
    )


def count_by_operator(arch: ArchSpec, num_classes: int = 1000) -> dict[str, int]:
    """`flops_fvcore` split as fvcore's `by_operator()` splits it."""
    totals = {"conv": 0, "batch_norm": 0, "adaptive_avg_pool2d": 0}
    for repeats, part in _parts(arch):
        totals["conv"] += repeats * part.conv
        totals["batch_norm"] += repeats * 2 * part.norm_elements
        totals["adaptive_avg_pool2d"] += repeats * part.pooled
    return {**totals, "linear": arch.head * num_classes}


def _parts(arch: ArchSpec) -> Iterator[tuple[int, _Part]]:
    """(how often, cost) of the stem, of each stage's first and later blocks, and of the head."""
    stem = arch.stem
    side = -(-arch.resolution // arch.stem_stride)
    area = side * side
    taps = STEM_KERNEL * STEM_KERNEL * arch.in_channels * stem
    yield 1, _Part(taps + 2 * stem, taps * area, stem * area, 0, stem * area)
    channels = stem
    for stage in arch.stages:
        out_side = -(-side // stage.stride)
        taps, ratio, se, out = (
            stage.kernel * stage.kernel,
            stage.expand_ratio,
            stage.se_ratio,
            stage.channels,
        )
        yield 1, _mbconv(channels, out, side * side, out_side * out_side, taps, ratio, se)
        side, channels = out_side, out
        if stage.repeats > 1:
            area = side * side
            yield stage.repeats - 1, _mbconv(out, out, area, area, taps, ratio, se)
    area, head = side * side, arch.head
    weights = channels * head
    yield (
        1,
        _Part(weights + 2 * head, weights * area, head * area, head * area, head * area),
    )


def _mbconv(
    in_channels: int,
    out_channels: int,
    in_area: int,
    out_area: int,
    taps: int,
    expand_ratio: float,
    se_ratio: float,
) -> _Part:
    hidden = expanded_channels(in_channels, expand_ratio)
    project = hidden * out_channels
    params = hidden * taps + 2 * hidden + project + 2 * out_channels
    conv = (hidden * taps + project) * out_area
    elements = (hidden + out_channels) * out_area
    activations = elements
    pooled = 0
    if expand_ratio != 1:
        weights = in_channels * hidden
        params += weights + 2 * hidden
        conv += weights * in_area
        elements += hidden * in_area
        activations = elements
    if se_ratio:
        squeezed = squeezed_channels(in_channels, se_ratio)
        params += 2 * hidden * squeezed + hidden + squeezed  # both convolutions have a bias
        conv += 2 * hidden * squeezed
        pooled = hidden * out_area
        activations += hidden + squeezed
    return _Part(params, conv, elements, pooled, activations)


def measure_flops_fvcore(network: "Network") -> dict[str, int]:
    """fvcore's own count of a built network, by operator, for one image in eval mode.

    Runs a forward pass on the device of the network. The network is given back in the mode
    it came in.
    """
    # Imported here, as arithmetic needs no tensors: the only use of fvcore.
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from fvcore.nn import FlopCountAnalysis

    arch = network.arch
    was_training = network.training
    network.eval()
    try:
        device = next(network.parameters()).device
        image = torch.zeros(1, arch.in_channels, arch.resolution, arch.resolution, device=device)
        # tracer_warnings: the tracer speaks of values that a plain CNN never branches on.
        analysis = (
            FlopCountAnalysis(network, image)
            .unsupported_ops_warnings(False)
            .uncalled_modules_warnings(False)
            .tracer_warnings("none")
        )
        return {operator: int(flops) for operator, flops in analysis.by_operator().items()}
    finally:
        network.train(was_training)


def referee(network: "Network") -> Cost:
    """The arithmetic cost of a built network, confirmed by fvcore and by its own parameters.

    Raises:
        CostMismatchError: arithmetic and measurement differ.
    """
    num_classes = network.classifier.out_features
    cost = count(network.arch, num_classes)
    measured = sum(measure_flops_fvcore(network).values())
    params = sum(parameter.numel() for parameter in network.parameters())
    if (measured, params) != (cost.flops_fvcore, cost.params):
        raise CostMismatchError(
            f"{network.arch}: counted flops_fvcore {cost.flops_fvcore}, params {cost.params}; "
            f"fvcore measured {measured}, the network has {params} params"
        )
    return cost
