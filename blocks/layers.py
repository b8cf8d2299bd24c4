"""The modules that a stage is made of."""

from typing import Final

from torch import Tensor, nn
from torchvision.ops import Conv2dNormActivation, SqueezeExcitation, StochasticDepth

from blocks.rounding import expanded_channels, squeezed_channels

ACTIVATION_LAYERS: Final[dict[str, type[nn.Module]]] = {
    "silu": nn.SiLU,
    "relu": nn.ReLU,
    "relu6": nn.ReLU6,
    "hard_swish": nn.Hardswish,
}


class MBConv(nn.Module):
    """Mobile inverted bottleneck: expand, depthwise, squeeze-excite, project, add.

    Shapes: (N, in_channels, H, W) → (N, out_channels, ⌈H/stride⌉, ⌈W/stride⌉).
    With `expand_ratio` 1 the expansion convolution is left out (depthwise-separable block).
    The identity shortcut exists where stride is 1, the channels stay, and `skip` is true;
    stochastic depth drops the branch of a sample with probability `drop_path`.

    Source: MobileNetV2 (arXiv 1801.04381), squeeze-excite as in MnasNet (1807.11626).
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int,
        stride: int,
        expand_ratio: float,
        se_ratio: float,
        activation: type[nn.Module],
        skip: bool,
        drop_path: float,
    ) -> None:
        super().__init__()
        hidden = expanded_channels(in_channels, expand_ratio)
        layers: list[nn.Module] = []
        if expand_ratio != 1:
            layers.append(Conv2dNormActivation(in_channels, hidden, 1, activation_layer=activation))
        layers.append(
            Conv2dNormActivation(
                hidden, hidden, kernel, stride, groups=hidden, activation_layer=activation
            )
        )
        if se_ratio:
            squeezed = squeezed_channels(in_channels, se_ratio)
            layers.append(SqueezeExcitation(hidden, squeezed, activation=activation))
        layers.append(Conv2dNormActivation(hidden, out_channels, 1, activation_layer=None))
        self.branch = nn.Sequential(*layers)
        self.skip = skip and stride == 1 and in_channels == out_channels
        self.drop_path = StochasticDepth(drop_path, "row")

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.branch(x)
        return x + self.drop_path(out) if self.skip else out


def initialise(module: nn.Module) -> None:
    """Draw weights as the reference implementation does (tensorflow/tpu efficientnet_model.py).

    Convolutions N(0, √(2/fan_out)) with the fan-out of one group, so that a depthwise kernel
    counts its own taps only; the classifier U(±1/√out); batch norm 1 and 0.
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
        elif isinstance(layer, nn.BatchNorm2d):
            nn.init.ones_(layer.weight)
            nn.init.zeros_(layer.bias)
