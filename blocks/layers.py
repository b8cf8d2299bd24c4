"""The modules that a stage is made of: one class per kind of block, and the dict that names them.

Every block is called as `Block(arch, stage, in_channels, stride, drop_path)`: the network-wide
conventions (activation, padding, normalisation, squeeze-excite) come from `arch`, its own row
from `stage`. Shapes of all: (N, in_channels, H, W) → (N, stage.channels, ⌈H/stride⌉, ⌈W/stride⌉).
"""

from collections.abc import Callable
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from blocks.arch import BOTTLENECKS, ArchSpec, StageSpec
from blocks.arch.walk import shortcut
from blocks.rounding import expanded_channels, squeezed_channels

ACTIVATION_LAYERS: Final[dict[str, type[nn.Module]]] = {
    "silu": nn.SiLU,
    "relu": nn.ReLU,
    "relu6": nn.ReLU6,
    "hard_swish": nn.Hardswish,
}
GATE_LAYERS: Final[dict[str, type[nn.Module]]] = {
    "sigmoid": nn.Sigmoid,
    "hard_sigmoid": nn.Hardsigmoid,
}


class Conv2dSame(nn.Conv2d):
    """Convolution with TensorFlow's SAME padding: an odd pixel goes to the right and bottom.

    At stride 2 on an even side a 3×3 kernel pads 0 before and 1 after, where PyTorch's
    symmetric k//2 pads 1 and 1 and so samples the map one pixel off. Weights trained with one
    lose accuracy under the other.
    """

    def forward(self, x: Tensor) -> Tensor:
        before_after = [
            self._pads(side, kernel, stride)
            for side, kernel, stride in zip(
                x.shape[-2:], self.kernel_size, self.stride, strict=True
            )
        ]
        (top, bottom), (left, right) = before_after
        if top == bottom and left == right:
            return F.conv2d(
                x, self.weight, self.bias, self.stride, (top, left), self.dilation, self.groups
            )
        x = F.pad(x, (left, right, top, bottom))
        return F.conv2d(x, self.weight, self.bias, self.stride, 0, self.dilation, self.groups)

    @staticmethod
    def _pads(side: int, kernel: int, stride: int) -> tuple[int, int]:
        pads = max((-(-side // stride) - 1) * stride + kernel - side, 0)
        return pads // 2, pads - pads // 2


class ConvNormAct(nn.Module):
    """Convolution without bias, normalisation, activation (None: linear), as `arch` has them."""

    def __init__(
        self,
        arch: ArchSpec,
        in_channels: int,
        out_channels: int,
        kernel: int,
        stride: int = 1,
        groups: int = 1,
        act: str | None = None,
    ) -> None:
        super().__init__()
        if arch.padding == "same":
            self.conv: nn.Conv2d = Conv2dSame(
                in_channels, out_channels, kernel, stride, groups=groups, bias=False
            )
        else:
            self.conv = nn.Conv2d(
                in_channels, out_channels, kernel, stride, kernel // 2, groups=groups, bias=False
            )
        self.norm = make_norm(arch, out_channels)
        self.act = ACTIVATION_LAYERS[act](inplace=True) if act is not None else nn.Identity()
        self.trainer: Callable[[ConvNormAct, Tensor], Tensor] | None = None

    def forward(self, x: Tensor) -> Tensor:
        return self.plain(x) if self.trainer is None or not self.training else self.trainer(self, x)

    def plain(self, x: Tensor) -> Tensor:
        """`forward` by PyTorch's own operators."""
        out: Tensor = self.act(self.norm(self.conv(x)))
        return out


# Both are torchvision's, which takes longer to import than a small network takes to train.


class SqueezeExcitation(nn.Module):
    """Channels weighted by what a small network of their means says: (N, C, H, W) → the same.

    Source: Hu et al., arXiv 1709.01507.
    """

    def __init__(
        self,
        channels: int,
        squeezed: int,
        activation: type[nn.Module] = nn.ReLU,
        scale_activation: type[nn.Module] = nn.Sigmoid,
    ) -> None:
        super().__init__()
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc1 = nn.Conv2d(channels, squeezed, 1)
        self.fc2 = nn.Conv2d(squeezed, channels, 1)
        self.activation = activation()
        self.scale_activation = scale_activation()

    def forward(self, x: Tensor) -> Tensor:
        # One expression, so that nothing is kept while the next is computed.
        weighted: Tensor = x * self.scale_activation(
            self.fc2(self.activation(self.fc1(self.avgpool(x))))
        )
        return weighted


class StochasticDepth(nn.Module):
    """In training each sample is 0 with probability `p`, and else scaled up to keep its mean:
    (N, …) → the same.

    Source: Huang et al., arXiv 1603.09382.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.p == 0:
            return x
        kept = 1 - self.p
        noise = torch.empty((len(x), *[1] * (x.ndim - 1)), dtype=x.dtype, device=x.device)
        noise.bernoulli_(kept)
        return x * (noise.div_(kept) if kept > 0 else noise)


def make_norm(arch: ArchSpec, channels: int) -> nn.Module:
    """Batch normalisation, or group normalisation where `arch.norm_group_size` asks for it."""
    if arch.norm_group_size:
        return nn.GroupNorm(channels // arch.norm_group_size, channels, eps=arch.norm_eps)
    return nn.BatchNorm2d(channels, eps=arch.norm_eps, momentum=arch.norm_momentum)


def make_squeeze_excite(
    arch: ArchSpec, stage: StageSpec, in_channels: int, hidden: int
) -> SqueezeExcitation:
    """Squeeze-excite over `hidden` channels of a block that `in_channels` enter."""
    base = hidden if arch.se_base == "expanded" else in_channels
    return SqueezeExcitation(
        hidden,
        squeezed_channels(base, stage.se_ratio, arch.se_divisor),
        activation=ACTIVATION_LAYERS[arch.se_act or stage.act or arch.act],
        scale_activation=GATE_LAYERS[arch.se_gate],
    )


class Shortcut(nn.Module):
    """What the residual blocks share: x + drop_path(drop_block(branch)), where there is a shortcut.

    `skip` says that the shortcut is the identity, `projects` that it is a convolution (see
    `blocks.arch.walk.shortcut`). Stochastic depth drops the branch of a sample with probability
    `drop_path` (arXiv 1603.09382). `Network` replaces `drop_block` where DropBlock is asked for.
    """

    def __init__(self, stage: StageSpec, in_channels: int, stride: int, drop_path: float) -> None:
        super().__init__()
        self.skip, self.projects = shortcut(
            stage.skip, stage.block in BOTTLENECKS, stride, in_channels, stage.channels
        )
        self.drop_block: nn.Module = nn.Identity()
        self.drop_path = StochasticDepth(drop_path)

    def add(self, x: Tensor, out: Tensor) -> Tensor:
        out = self.drop_block(out)
        return x + self.drop_path(out) if self.skip else out


class MBConv(Shortcut):
    """Mobile inverted bottleneck: expand, depthwise, squeeze-excite, project, add.

    Blocks `ir` and, without the expansion, `ds`.

    Source: MobileNetV2 (arXiv 1801.04381), squeeze-excite as in MnasNet (1807.11626).
    """

    def __init__(
        self, arch: ArchSpec, stage: StageSpec, in_channels: int, stride: int, drop_path: float
    ) -> None:
        super().__init__(stage, in_channels, stride, drop_path)
        hidden = expanded_channels(in_channels, stage.expand_ratio)
        act = stage.act or arch.act
        self.expand = (
            ConvNormAct(arch, in_channels, hidden, 1, act=act) if stage.expand_ratio != 1 else None
        )
        self.depthwise = ConvNormAct(arch, hidden, hidden, stage.kernel, stride, hidden, act)
        self.squeeze_excite = (
            make_squeeze_excite(arch, stage, in_channels, hidden) if stage.se_ratio else None
        )
        self.project = ConvNormAct(arch, hidden, stage.channels, 1)
        self.trainer: Callable[[MBConv, Tensor], Tensor] | None = None

    def forward(self, x: Tensor) -> Tensor:
        return self.plain(x) if self.trainer is None or not self.training else self.trainer(self, x)

    def plain(self, x: Tensor) -> Tensor:
        """`forward` by PyTorch's own operators."""
        out = x
        if self.expand is not None:
            out = self.expand(out)
        out = self.depthwise(out)
        if self.squeeze_excite is not None:
            out = self.squeeze_excite(out)
        return self.add(x, self.project(out))


class FusedMBConv(Shortcut):
    """MBConv whose expansion and depthwise are one full k×k convolution. Block `er`.

    Source: EfficientNetV2 (arXiv 2104.00298, fig. 2).
    """

    def __init__(
        self, arch: ArchSpec, stage: StageSpec, in_channels: int, stride: int, drop_path: float
    ) -> None:
        super().__init__(stage, in_channels, stride, drop_path)
        hidden = expanded_channels(in_channels, stage.expand_ratio)
        act = stage.act or arch.act
        self.expand = ConvNormAct(arch, in_channels, hidden, stage.kernel, stride, act=act)
        self.squeeze_excite = (
            make_squeeze_excite(arch, stage, in_channels, hidden) if stage.se_ratio else None
        )
        self.project = ConvNormAct(arch, hidden, stage.channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        out = self.expand(x)
        if self.squeeze_excite is not None:
            out = self.squeeze_excite(out)
        return self.add(x, self.project(out))


class ConvBlock(Shortcut):
    """One k×k convolution, normalised and activated, with a shortcut: Fused-MBConv1. Block `cn`.

    Source: EfficientNetV2 (arXiv 2104.00298, table 4, stage 1).
    """

    def __init__(
        self, arch: ArchSpec, stage: StageSpec, in_channels: int, stride: int, drop_path: float
    ) -> None:
        super().__init__(stage, in_channels, stride, drop_path)
        act = stage.act or arch.act
        self.spatial = ConvNormAct(arch, in_channels, stage.channels, stage.kernel, stride, act=act)

    def forward(self, x: Tensor) -> Tensor:
        return self.add(x, self.spatial(x))


class Bottleneck(Shortcut):
    """Reduce, k×k with the stride ("v1.5"), expand, add, activate. Blocks `bt` and `bx`.

    Where the shape changes the shortcut is a strided 1×1 convolution; `noskip` drops both kinds.

    Source: ResNet (arXiv 1512.03385), ResNeXt's groups (1611.05431).
    """

    def __init__(
        self, arch: ArchSpec, stage: StageSpec, in_channels: int, stride: int, drop_path: float
    ) -> None:
        super().__init__(stage, in_channels, stride, drop_path)
        inner = expanded_channels(stage.channels, stage.expand_ratio)
        act = stage.act or arch.act
        self.reduce = ConvNormAct(arch, in_channels, inner, 1, act=act)
        self.spatial = ConvNormAct(arch, inner, inner, stage.kernel, stride, stage.groups, act)
        self.expand = ConvNormAct(arch, inner, stage.channels, 1)
        self.shortcut = (
            ConvNormAct(arch, in_channels, stage.channels, 1, stride) if self.projects else None
        )
        self.act = ACTIVATION_LAYERS[act](inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        out = self.drop_block(self.expand(self.spatial(self.reduce(x))))
        if self.shortcut is not None:
            out = self.shortcut(x) + self.drop_path(out)
        elif self.skip:
            out = x + self.drop_path(out)
        activated: Tensor = self.act(out)
        return activated


BLOCK_LAYERS: Final[dict[str, Callable[[ArchSpec, StageSpec, int, int, float], Shortcut]]] = {
    "ir": MBConv,
    "ds": MBConv,
    "er": FusedMBConv,
    "cn": ConvBlock,
    "bt": Bottleneck,
    "bx": Bottleneck,
}
"""Block token → module; the tokens are those of `blocks.arch.BLOCKS`."""


def initialise(module: nn.Module) -> None:
    """Draw weights as the reference implementation does (tensorflow/tpu efficientnet_model.py).

    Convolutions N(0, √(2/fan_out)) with the fan-out of one group, so that a depthwise kernel
    counts its own taps only; linear layers U(±1/√out); normalisation 1 and 0.
    """
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            taps = layer.kernel_size[0] * layer.kernel_size[1]
            fan_out = taps * layer.out_channels // layer.groups
            nn.init.normal_(layer.weight, 0.0, (2.0 / fan_out) ** 0.5)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
        elif isinstance(layer, nn.Linear):
            bound = layer.out_features**-0.5
            nn.init.uniform_(layer.weight, -bound, bound)
            nn.init.zeros_(layer.bias)
        elif isinstance(layer, nn.BatchNorm2d | nn.GroupNorm):
            nn.init.ones_(layer.weight)
            nn.init.zeros_(layer.bias)
