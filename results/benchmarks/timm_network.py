"""A member of the search space as an engineer builds it of timm's blocks. No benchmark itself."""

from typing import Any

from timm.layers.squeeze_excite import SqueezeExcite
from timm.models._efficientnet_blocks import DepthwiseSeparableConv, InvertedResidual
from torch import nn

from blocks.arch import ArchSpec


def timm_network(arch: ArchSpec, num_classes: int) -> nn.Sequential:
    """`arch` with a 3×3 stem of stride 2 and SiLU, as the members of `space=tiny` are."""
    layers: list[nn.Module] = [
        nn.Conv2d(arch.in_channels, arch.stem, 3, 2, 1, bias=False),
        nn.BatchNorm2d(arch.stem),
        nn.SiLU(),
    ]
    channels = arch.stem
    for stage in arch.stages:
        for repeat in range(stage.repeats):
            settings: dict[str, Any] = {
                "in_chs": channels,
                "out_chs": stage.channels,
                "dw_kernel_size": stage.kernel,
                "stride": stage.stride if repeat == 0 else 1,
                "act_layer": nn.SiLU,
                "noskip": not stage.skip,
            }
            if stage.se_ratio:
                squeezed = max(1, int(channels * stage.se_ratio))
                settings["se_layer"] = lambda chs, squeezed=squeezed, **_: SqueezeExcite(
                    chs, rd_channels=squeezed, act_layer=nn.SiLU
                )
            if stage.block == "ds":
                layers.append(DepthwiseSeparableConv(**settings))
            else:
                layers.append(InvertedResidual(exp_ratio=stage.expand_ratio, **settings))
            channels = stage.channels
    layers += [nn.Conv2d(channels, arch.head, 1, bias=False), nn.BatchNorm2d(arch.head)]
    layers += [nn.SiLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(*layers, nn.Linear(arch.head, num_classes))
