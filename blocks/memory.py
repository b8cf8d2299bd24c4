"""How much memory a network needs: its weights, and the peak of one inference.

The peak is arithmetic over what PyTorch keeps alive when `Network` runs eagerly in eval mode:
the image, the input of the block at work (its shortcut needs it), and the block's own
intermediate tensors. A normalisation writes a new tensor while its input is alive;
activations work in place. Scratch space inside a library's kernel is not counted.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from blocks.arch import BOTTLENECKS, ArchSpec, Size
from blocks.arch.walk import Block, walk_alike
from blocks.cost import count


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
    """The memory of `Network(arch, num_classes)` at `arch.image`, without building it."""
    params = count(arch, num_classes).params
    image = arch.in_channels * arch.image.area
    return Memory(
        weights_fp32=4 * params,
        weights_fp16=2 * params,
        weights_int8=params,
        peak_activations=4 * (image + max(_alive(arch, num_classes))),
    )


def _alive(arch: ArchSpec, num_classes: int) -> Iterator[int]:
    """Elements alive beside the image, at each candidate for the peak."""
    yield _conv_norm(
        arch, arch.in_channels, arch.image, arch.stem_kernel, arch.stem_stride, arch.stem
    )
    if arch.stem_pool:
        leaving = arch.image.strided(arch.stem_stride)
        # The indices of the maxima are int64.
        yield arch.stem * (leaving.area + 3 * leaving.strided(2).area)
    walked = list(walk_alike(arch))
    last = walked[-1][0]
    residual = last.out_channels * last.out_map.area if arch.global_residual else 0
    for block, times in walked:
        summed = residual if block.stage_index else 0
        yield summed + block.in_channels * block.in_map.area + _block(arch, block)
        if residual and block.repeat + times == block.stage.repeats:
            is_last = block.stage_index == last.stage_index
            # Projected (convolution, norm), then added to the sum so far.
            elements = block.out_channels * block.out_map.area
            yield summed + elements + (summed if is_last else 2 * residual)
    channels, area = last.out_channels, last.out_map.area
    head = arch.head or channels
    entering = channels * area
    if arch.head:
        yield entering + _conv_norm(arch, channels, last.out_map, 1, 1, head)
    yield entering + (head * area if arch.head else 0) + head
    yield entering + head + arch.head_hidden
    yield (arch.head_hidden or head) + num_classes


def _conv_norm(
    arch: ArchSpec, inputs: int, image: Size, kernel: int, stride: int, outputs: int
) -> int:
    """What ConvNormAct adds to its input: the padded copy and the output, or output and norm."""
    leaving = image.strided(stride)
    out = outputs * leaving.area
    padded = 0
    if arch.padding == "same":
        pads = [
            max((after - 1) * stride + kernel - before, 0)
            for before, after in zip(image, leaving, strict=True)
        ]
        if any(each % 2 for each in pads):
            padded = inputs * (image.height + pads[0]) * (image.width + pads[1])
    statistics = 2 * outputs // arch.norm_group_size if arch.norm_group_size else 0
    return int(max(padded + out, 2 * out + statistics))


def _block(arch: ArchSpec, block: Block) -> int:
    """What a block adds to its input at its own peak."""
    kind, kernel, hidden = block.stage.block, block.stage.kernel, block.hidden
    entering, stride = block.in_map, block.stride
    out_area = block.out_map.area
    out = block.out_channels * out_area
    if kind in BOTTLENECKS:
        return _bottleneck(arch, block)
    if kind == "cn":
        spatial = _conv_norm(arch, block.in_channels, entering, kernel, stride, block.out_channels)
        return max(spatial, 2 * out if block.adds else 0)
    peaks = []
    if kind == "er":
        peaks.append(_conv_norm(arch, block.in_channels, entering, kernel, stride, hidden))
    else:
        expanded = 0
        if kind == "ir":
            peaks.append(_conv_norm(arch, block.in_channels, entering, 1, 1, hidden))
            expanded = hidden * entering.area
        peaks.append(expanded + _conv_norm(arch, hidden, entering, kernel, stride, hidden))
    inner, squeezed = hidden * out_area, block.squeezed
    if squeezed:
        peaks.append(inner + max(hidden + inner, hidden + squeezed, 2 * squeezed))
    project = _conv_norm(arch, hidden, block.out_map, 1, 1, block.out_channels)
    peaks.append(inner + max(project, 2 * out if block.adds else 0))
    return max(peaks)


def _bottleneck(arch: ArchSpec, block: Block) -> int:
    inner, inputs, outputs = block.hidden, block.in_channels, block.out_channels
    entering, leaving, stride = block.in_map, block.out_map, block.stride
    out = outputs * leaving.area
    peaks = [
        _conv_norm(arch, inputs, entering, 1, 1, inner),
        inner * entering.area
        + _conv_norm(arch, inner, entering, block.stage.kernel, stride, inner),
        inner * leaving.area + _conv_norm(arch, inner, leaving, 1, 1, outputs),
    ]
    if block.projects:
        peaks.append(out + _conv_norm(arch, inputs, entering, 1, stride, outputs))
        peaks.append(3 * out)
    elif block.adds:
        peaks.append(2 * out)
    return int(max(peaks))
