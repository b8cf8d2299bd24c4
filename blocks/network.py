"""The only place where a specification becomes modules."""

from torch import Tensor, nn
from torchvision.ops import Conv2dNormActivation

from blocks.arch import STEM_KERNEL, ArchSpec
from blocks.layers import ACTIVATION_LAYERS, MBConv, initialise


class Network(nn.Module):
    """The classifier that `arch` describes.

    Shapes: (N, arch.in_channels, H, W) → (N, num_classes) logits. Any input size is accepted;
    `arch.resolution` is what it is meant for and costed at.

    `drop_path` rises linearly over the L blocks: block l has probability drop_path·l/L
    (EfficientNet's reference code; l from 0, every block counted).
    """

    def __init__(
        self,
        arch: ArchSpec,
        num_classes: int = 1000,
        *,
        dropout: float = 0.0,
        drop_path: float = 0.0,
    ) -> None:
        super().__init__()
        self.arch = arch
        activation = ACTIVATION_LAYERS[arch.act]
        self.stem = Conv2dNormActivation(
            arch.in_channels,
            arch.stem,
            STEM_KERNEL,
            arch.stem_stride,
            activation_layer=activation,
        )
        blocks_in_all = sum(stage.repeats for stage in arch.stages)
        block_number = 0
        channels = arch.stem
        stages: list[nn.Module] = []
        for stage in arch.stages:
            blocks: list[nn.Module] = []
            for repeat in range(stage.repeats):
                blocks.append(
                    MBConv(
                        channels,
                        stage.channels,
                        stage.kernel,
                        stage.stride if repeat == 0 else 1,
                        stage.expand_ratio,
                        stage.se_ratio,
                        activation,
                        stage.skip,
                        drop_path * block_number / blocks_in_all,
                    )
                )
                channels = stage.channels
                block_number += 1
            stages.append(nn.Sequential(*blocks))
        self.stages = nn.Sequential(*stages)
        self.head = Conv2dNormActivation(channels, arch.head, 1, activation_layer=activation)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(arch.head, num_classes)
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        x = self.head(self.stages(self.stem(x)))
        logits: Tensor = self.classifier(self.dropout(self.pool(x).flatten(1)))
        return logits
