"""A space's member on given tensors: their names and shapes by arithmetic, and the forward pass.

Building `Network` takes as long as training it on a batch, which a supernet does once with each of
thousands of members. Here are no modules: the tensors come from outside, as slices of others do.
"""

from collections.abc import Callable, Mapping
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor

from blocks.arch import ArchSpec
from blocks.arch.walk import Block, strides_to_the_end, walk
from blocks.layers import ACTIVATION_LAYERS
from blocks.native import COMPILED_KERNELS, available, conv_norm_act, mbconv

ACTIVATIONS: Final[dict[str, Callable[[Tensor], Tensor]]] = {
    "silu": F.silu,
    "relu": F.relu,
    "relu6": F.relu6,
    "hard_swish": F.hardswish,
}
_CONV_NORM: Final = ("conv.weight", "norm.weight", "norm.bias")
_SQUEEZE_EXCITE: Final = ("fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias")
Shape = tuple[int, ...]
Tensors = Mapping[str, Tensor]


def tensor_shapes(arch: ArchSpec, num_classes: int) -> dict[str, Shape]:
    """The parameters of `Network(arch, num_classes)`, in its order, for members of a space: blocks
    `ir` and `ds`, symmetric padding, batch norm."""
    shapes: dict[str, Shape] = {}

    def conv_norm(name: str, *weight: int) -> None:
        shapes[f"{name}.conv.weight"] = weight
        shapes[f"{name}.norm.weight"] = shapes[f"{name}.norm.bias"] = weight[:1]

    conv_norm("stem", arch.stem, arch.in_channels, arch.stem_kernel, arch.stem_kernel)
    for block in walk(arch):
        name, hidden, squeezed = block.name, block.hidden, block.squeezed
        if block.stage.expand_ratio != 1:
            conv_norm(f"{name}.expand", hidden, block.in_channels, 1, 1)
        conv_norm(f"{name}.depthwise", hidden, 1, block.stage.kernel, block.stage.kernel)
        if squeezed:
            for part, weight in (("fc1", (squeezed, hidden)), ("fc2", (hidden, squeezed))):
                shapes[f"{name}.squeeze_excite.{part}.weight"] = (*weight, 1, 1)
                shapes[f"{name}.squeeze_excite.{part}.bias"] = weight[:1]
        conv_norm(f"{name}.project", block.out_channels, hidden, 1, 1)
    channels = arch.stages[-1].channels
    if arch.global_residual:
        for number, stage in enumerate(arch.stages[:-1]):
            conv_norm(f"global_residual.{number}", channels, stage.channels, 1, 1)
    if arch.head:
        conv_norm("head", arch.head, channels, 1, 1)
    shapes["classifier.weight"] = (num_classes, arch.head or channels)
    shapes["classifier.bias"] = (num_classes,)
    return shapes


def forward(
    arch: ArchSpec,
    tensors: Tensors,
    images: Tensor,
    training: bool = True,
    kernels: str = "auto",
) -> Tensor:
    """Logits (N, num_classes) of `Network(arch)` of images (N, C, H, W); nothing is dropped.

    In training batches are normalised by their own statistics, which are kept nowhere; otherwise
    by those among the tensors.
    """
    act = ACTIVATIONS[arch.act]
    compiled = training and kernels == "auto" and available()

    def conv_norm(name: str, x: Tensor, stride: int = 1, groups: int = 1) -> Tensor:
        weight = tensors[f"{name}.conv.weight"]
        x = F.conv2d(x, weight, None, stride, weight.shape[-1] // 2, 1, groups)
        scale, shift = tensors[f"{name}.norm.weight"], tensors[f"{name}.norm.bias"]
        mean, variance = (
            None if training else tensors[f"{name}.norm.{part}"]
            for part in ("running_mean", "running_var")
        )
        return F.batch_norm(x, mean, variance, scale, shift, training, eps=arch.norm_eps)

    def layer(name: str, x: Tensor, stride: int = 1) -> Tensor:
        if compiled:
            parameters = [tensors[f"{name}.{each}"] for each in _CONV_NORM]
            return conv_norm_act(x, parameters, stride, ACTIVATION_LAYERS[arch.act], arch.norm_eps)
        return act(conv_norm(name, x, stride))

    def squeeze_excite(name: str, x: Tensor) -> Tensor:
        def dense(part: str, y: Tensor) -> Tensor:
            weight = tensors[f"{name}.{part}.weight"].flatten(1)
            return F.linear(y, weight, tensors[f"{name}.{part}.bias"])

        gate = torch.sigmoid(dense("fc2", act(dense("fc1", x.mean((2, 3))))))
        return x * gate[:, :, None, None]

    def compiled_block(place: Block, x: Tensor) -> Tensor:
        expands, squeezes = place.stage.expand_ratio != 1, place.stage.se_ratio > 0
        parts = [*(["expand"] if expands else []), "depthwise", "project"]
        names = [f"{part}.{kind}" for part in parts for kind in _CONV_NORM]
        if squeezes:
            names += [f"squeeze_excite.{kind}" for kind in _SQUEEZE_EXCITE]
        parameters = [tensors[f"{place.name}.{each}"] for each in names]
        return mbconv(
            x, parameters, place.stride, ACTIVATION_LAYERS[arch.act], place.adds, expands,
            squeezes, arch.norm_eps,
        )  # fmt: skip

    def block(place: Block, x: Tensor) -> Tensor:
        if compiled and place.stage.kernel in COMPILED_KERNELS:
            return compiled_block(place, x)
        name, out = place.name, x
        if place.stage.expand_ratio != 1:
            out = act(conv_norm(f"{name}.expand", out))
        out = act(conv_norm(f"{name}.depthwise", out, place.stride, out.shape[1]))
        if place.stage.se_ratio:
            out = squeeze_excite(f"{name}.squeeze_excite", out)
        out = conv_norm(f"{name}.project", out)
        return x + out if place.adds else out

    x = layer("stem", images, arch.stem_stride)
    ends: list[Tensor] = []
    for place in walk(arch):
        x = block(place, x)
        if place.is_last:
            ends.append(x)
    if arch.global_residual:
        for number, (end, stride) in enumerate(
            zip(ends[:-1], strides_to_the_end(arch), strict=False)
        ):
            x = x + conv_norm(f"global_residual.{number}", end, stride)
    if arch.head:
        x = layer("head", x)
    return F.linear(x.mean((2, 3)), tensors["classifier.weight"], tensors["classifier.bias"])
