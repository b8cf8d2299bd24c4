"""The fast training path of the CPU: which layers of a network take it, and how."""

from typing import Final

import torch
from torch import Tensor, nn

from blocks.drop_block import DropBlock
from blocks.layers import Conv2dSame, ConvNormAct, MBConv
from blocks.native.library import available

__all__ = ["COMPILED_KERNELS", "accelerate", "available", "conv_norm_act", "mbconv"]

# The numbers of operators.cpp.
_ACTS: Final[dict[type[nn.Module], int]] = {
    nn.Identity: 0,
    nn.SiLU: 1,
    nn.ReLU: 2,
    nn.ReLU6: 3,
    nn.Hardswish: 4,
}
_GATES: Final[dict[type[nn.Module], int]] = {nn.Sigmoid: 0, nn.Hardsigmoid: 1}
COMPILED_KERNELS: Final = (3, 5, 7)


def accelerate(network: nn.Module) -> bool:
    """Have the layers of `network` train through the compiled operators, where they can.

    The network stays what it is: same parameters, same names, same values up to rounding, the same
    code outside of training mode, on other devices and in other number formats. False, and nothing
    is changed, where there are no operators on this machine.
    """
    if not available():
        return False
    for module in network.modules():
        if isinstance(module, MBConv) and _fits(module):
            module.trainer = _mbconv
        elif isinstance(module, ConvNormAct) and _is_plain(module):
            module.trainer = _conv_norm_act
    return True


def mbconv(
    x: Tensor, parameters: list[Tensor], stride: int, act: type[nn.Module], residual: bool,
    expands: bool, squeezes: bool, eps: float,
) -> Tensor:  # fmt: skip
    """A block in training mode on tensors instead of modules; its batches' statistics are kept
    nowhere. Squeeze-excite has the block's activation and a sigmoid.

    `parameters`: weight, gamma and beta of the expansion (if there is one), of the depthwise
    (kernel 3, 5 or 7) and of the projection; weight and bias of both layers of squeeze-excite.
    """
    norms = 2 + expands
    buffers = [x.new_zeros(parameters[3 * (number // 2) + 1].shape) for number in range(2 * norms)]
    settings = [stride, _ACTS[act], residual, expands, squeezes, _ACTS[act], _GATES[nn.Sigmoid]]
    whole = [parameter.contiguous() for parameter in parameters]  # slices of others are not
    out: Tensor = torch.ops.compound_nas.mbconv(
        x, whole, buffers, settings[: 7 if squeezes else 5], [eps, 0.0] * norms
    )
    return out


def conv_norm_act(
    x: Tensor, parameters: list[Tensor], stride: int, act: type[nn.Module], eps: float
) -> Tensor:
    """An ungrouped convolution, symmetrically padded, with its normalisation and activation, in
    training mode on tensors: weight, gamma and beta. Its batches' statistics are kept nowhere."""
    weight, gamma, beta = (each.contiguous() for each in parameters)  # slices of others are not
    side = weight.shape[-1]
    out: Tensor = torch.ops.compound_nas.conv_norm_act(
        x, weight, gamma, beta, torch.zeros_like(beta), torch.zeros_like(beta),
        (stride, stride), (side // 2, side // 2), 1, _ACTS[act], eps, 0.0,
    )  # fmt: skip
    return out


def _is_plain(layer: ConvNormAct) -> bool:
    """Whether normalisation and activation are those that are compiled."""
    norm = layer.norm
    return (
        isinstance(norm, nn.BatchNorm2d)
        and norm.affine
        and norm.track_running_stats
        and norm.momentum is not None
        and type(layer.act) in _ACTS
        and not isinstance(layer.conv, Conv2dSame)
    )


def _fits(block: MBConv) -> bool:
    layers = [block.depthwise, block.project, *([block.expand] if block.expand else [])]
    squeeze = block.squeeze_excite
    return (
        all(_is_plain(layer) for layer in layers)
        and block.depthwise.conv.kernel_size[0] in COMPILED_KERNELS
        and block.depthwise.conv.stride in ((1, 1), (2, 2))
        and (
            squeeze is None
            or (type(squeeze.activation) in _ACTS and type(squeeze.scale_activation) in _GATES)
        )
    )


def _takes(x: Tensor) -> bool:
    return x.dtype == torch.float32 and x.device.type == "cpu"


def _norm(layer: ConvNormAct) -> nn.BatchNorm2d:
    """The layer's batch normalisation, one more batch being counted."""
    norm = layer.norm
    assert isinstance(norm, nn.BatchNorm2d)
    assert norm.num_batches_tracked is not None
    norm.num_batches_tracked.add_(1)
    return norm


def _conv_norm_act(layer: ConvNormAct, x: Tensor) -> Tensor:
    if not _takes(x):
        return layer.plain(x)
    conv, norm = layer.conv, _norm(layer)
    out: Tensor = torch.ops.compound_nas.conv_norm_act(
        x, conv.weight, norm.weight, norm.bias, norm.running_mean, norm.running_var,
        conv.stride, conv.padding, conv.groups, _ACTS[type(layer.act)], norm.eps, norm.momentum,
    )  # fmt: skip
    return out


def _mbconv(block: MBConv, x: Tensor) -> Tensor:
    if not _takes(x):
        return block.plain(x)
    layers = [layer for layer in (block.expand, block.depthwise, block.project) if layer]
    norms = [_norm(layer) for layer in layers]
    squeeze = block.squeeze_excite
    # What may drop the branch stands between it and the sum.
    drops = isinstance(block.drop_block, DropBlock) or block.drop_path.p > 0
    parameters = []
    buffers = []
    for layer, norm in zip(layers, norms, strict=True):
        parameters += [layer.conv.weight, norm.weight, norm.bias]
        buffers += [norm.running_mean, norm.running_var]
    settings = [
        block.depthwise.conv.stride[0],
        _ACTS[type(block.depthwise.act)],
        block.skip and not drops,
        block.expand is not None,
        squeeze is not None,
    ]
    if squeeze is not None:
        for pointwise in (squeeze.fc1, squeeze.fc2):
            assert pointwise.bias is not None
            parameters += [pointwise.weight, pointwise.bias]
        settings += [_ACTS[type(squeeze.activation)], _GATES[type(squeeze.scale_activation)]]
    out: Tensor = torch.ops.compound_nas.mbconv(
        x,
        parameters,
        buffers,
        settings,
        [each for norm in norms for each in (norm.eps, norm.momentum)],
    )
    return block.add(x, out) if drops else out
