"""How much memory a network needs: its weights, and the peak of one inference.

The peak is arithmetic over what PyTorch keeps alive when `Network` runs eagerly in eval mode:
the image, the input of the block at work (its shortcut needs it), and the block's own
intermediate tensors. A normalisation writes a new tensor while its input is alive;
activations work in place. Scratch space inside a library's kernel is not counted.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from blocks.arch import BOTTLENECKS, ArchSpec, StageSpec
from blocks.cost import count
from blocks.rounding import expanded_channels, squeezed_channels


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes: the parameters in three number formats, and the peak of one image in fp32.

    `peak_activations` are the tensors alive at once, the image among them; `peak` adds the
    fp32 parameters.
    """

    weights_fp32: int
    weights_fp16: int
    weights_int8: int
    peak_activations: int

    @property
    def peak(self) -> int:
        return self.weights_fp32 + self.peak_activations


def memory(arch: ArchSpec, num_classes: int = 1000) -> Memory:
    """The memory of `Network(arch, num_classes)` at `arch.resolution`, without building it."""
    params = count(arch, num_classes).params
    image = arch.in_channels * arch.resolution**2
    return Memory(
        weights_fp32=4 * params,
        weights_fp16=2 * params,
        weights_int8=params,
        peak_activations=4 * (image + max(_alive(arch, num_classes))),
    )


def _alive(arch: ArchSpec, num_classes: int) -> Iterator[int]:
    """Elements alive beside the image, at each candidate for the peak."""
    side = -(-arch.resolution // arch.stem_stride)
    yield _conv_norm(
        arch, arch.in_channels, arch.resolution, arch.stem_kernel, arch.stem_stride, arch.stem
    )
    if arch.stem_pool:
        pooled = -(-side // 2)
        yield arch.stem * (side**2 + 3 * pooled**2)  # the indices of the maxima are int64
        side = pooled
    total_stride = [stage.stride for stage in arch.stages].count(2)
    last_side = side
    for _ in range(total_stride):
        last_side = -(-last_side // 2)
    last_channels = arch.stages[-1].channels
    residual = last_channels * last_side**2 if arch.global_residual else 0
    channels = arch.stem
    for number, stage in enumerate(arch.stages):
        summed = residual if number else 0
        for repeat in range(min(2, stage.repeats)):  # later blocks are like the second
            stride = stage.stride if repeat == 0 else 1
            entering = channels * side**2
            yield summed + entering + _block(arch, stage, channels, side, stride)
            side, channels = -(-side // stride), stage.channels
        if residual:
            is_last = number == len(arch.stages) - 1
            # Projected (convolution, norm), then added to the sum so far.
            yield summed + channels * side**2 + (summed if is_last else 2 * residual)
    area, head = side**2, arch.head or channels
    entering = channels * area
    if arch.head:
        yield entering + _conv_norm(arch, channels, side, 1, 1, head)
    yield entering + (head * area if arch.head else 0) + head
    yield entering + head + arch.head_hidden
    yield (arch.head_hidden or head) + num_classes


def _conv_norm(
    arch: ArchSpec, inputs: int, side: int, kernel: int, stride: int, outputs: int
) -> int:
    """What ConvNormAct adds to its input: the padded copy and the output, or output and norm."""
    out_side = -(-side // stride)
    out = outputs * out_side**2
    padded = 0
    if arch.padding == "same":
        pads = max((out_side - 1) * stride + kernel - side, 0)
        padded = inputs * (side + pads) ** 2 if pads % 2 else 0
    statistics = 2 * outputs // arch.norm_group_size if arch.norm_group_size else 0
    return max(padded + out, 2 * out + statistics)


def _block(arch: ArchSpec, stage: StageSpec, channels: int, side: int, stride: int) -> int:
    """What a block adds to its input at its own peak."""
    area, out_area = side**2, (-(-side // stride)) ** 2
    out = stage.channels * out_area
    if stage.block in BOTTLENECKS:
        return _bottleneck(arch, stage, channels, side, stride)
    skip = stage.skip and stride == 1 and channels == stage.channels
    if stage.block == "cn":
        spatial = _conv_norm(arch, channels, side, stage.kernel, stride, stage.channels)
        return max(spatial, 2 * out if skip else 0)
    hidden = expanded_channels(channels, stage.expand_ratio)
    peaks = []
    if stage.block == "er":
        peaks.append(_conv_norm(arch, channels, side, stage.kernel, stride, hidden))
    else:
        expanded = 0
        if stage.block == "ir":
            peaks.append(_conv_norm(arch, channels, side, 1, 1, hidden))
            expanded = hidden * area
        peaks.append(expanded + _conv_norm(arch, hidden, side, stage.kernel, stride, hidden))
    inner = hidden * out_area
    if stage.se_ratio:
        base = hidden if arch.se_base == "expanded" else channels
        squeezed = squeezed_channels(base, stage.se_ratio, arch.se_divisor)
        peaks.append(inner + max(hidden + inner, hidden + squeezed, 2 * squeezed))
    project = _conv_norm(arch, hidden, -(-side // stride), 1, 1, stage.channels)
    peaks.append(inner + max(project, 2 * out if skip else 0))
    return max(peaks)


def _bottleneck(arch: ArchSpec, stage: StageSpec, channels: int, side: int, stride: int) -> int:
    inner = expanded_channels(stage.channels, stage.expand_ratio)
    out_side = -(-side // stride)
    out = stage.channels * out_side**2
    peaks = [
        _conv_norm(arch, channels, side, 1, 1, inner),
        inner * side**2 + _conv_norm(arch, inner, side, stage.kernel, stride, inner),
        inner * out_side**2 + _conv_norm(arch, inner, out_side, 1, 1, stage.channels),
    ]
    if stage.skip and (stride != 1 or channels != stage.channels):
        peaks.append(out + _conv_norm(arch, channels, side, 1, stride, stage.channels))
        peaks.append(3 * out)
    elif stage.skip:
        peaks.append(2 * out)
    return max(peaks)
