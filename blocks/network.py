"""The only place where a specification becomes modules."""

from torch import Tensor, nn

from blocks.arch import ArchSpec
from blocks.arch.walk import strides_to_the_end, walk
from blocks.drop_block import DropBlock, DropBlockSpec
from blocks.layers import ACTIVATION_LAYERS, BLOCK_LAYERS, ConvNormAct, Shortcut, initialise


class Network(nn.Module):
    """The classifier that `arch` describes.

    Shapes: (N, arch.in_channels, H, W) → (N, num_classes) logits. Any input size is accepted;
    `arch.resolution` is what it is meant for and costed at.

    `drop_path` rises linearly over the L blocks: block l has probability drop_path·l/L
    (EfficientNet's reference code; l from 0, every block counted). `drop_block` acts on the
    branches of the blocks at the last two resolutions, as the paper has it; see
    `set_progress` for its schedule.
    """

    def __init__(
        self,
        arch: ArchSpec,
        num_classes: int = 1000,
        *,
        dropout: float = 0.0,
        drop_path: float = 0.0,
        drop_block: DropBlockSpec | None = None,
    ) -> None:
        super().__init__()
        self.arch = arch
        self.stem = ConvNormAct(
            arch, arch.in_channels, arch.stem, arch.stem_kernel, arch.stem_stride, act=arch.act
        )
        self.stem_pool = nn.MaxPool2d(3, 2, 1) if arch.stem_pool else nn.Identity()
        blocks_in_all = sum(stage.repeats for stage in arch.stages)
        stages: list[list[nn.Module]] = [[] for _ in arch.stages]
        for number, block in enumerate(walk(arch)):
            make = BLOCK_LAYERS[block.stage.block]
            rate = drop_path * number / blocks_in_all
            stages[block.stage_index].append(
                make(arch, block.stage, block.in_channels, block.stride, rate)
            )
        self.stages = nn.ModuleList(nn.Sequential(*blocks) for blocks in stages)
        channels = arch.stages[-1].channels
        self.global_residual = (
            nn.ModuleList(
                ConvNormAct(arch, stage.channels, channels, 1, stride)
                for stage, stride in zip(arch.stages[:-1], strides_to_the_end(arch), strict=False)
            )
            if arch.global_residual
            else None
        )
        self.head = (
            ConvNormAct(arch, channels, arch.head, 1, act=arch.act) if arch.head else nn.Identity()
        )
        self.pool = nn.AdaptiveAvgPool2d(1)
        features = arch.head or channels
        self.hidden = (
            nn.Sequential(
                nn.Linear(features, arch.head_hidden), ACTIVATION_LAYERS[arch.act](inplace=True)
            )
            if arch.head_hidden
            else nn.Identity()
        )
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(arch.head_hidden or features, num_classes)
        initialise(self)
        if drop_block is not None:
            self._place_drop_block(drop_block)

    def forward(self, x: Tensor) -> Tensor:
        x = self._run_stages(self.stem_pool(self.stem(x)))
        x = self.hidden(self.pool(self.head(x)).flatten(1))
        logits: Tensor = self.classifier(self.dropout(x))
        return logits

    def _run_stages(self, x: Tensor) -> Tensor:
        # Loops instead of nested Sequentials: a Sequential's frame keeps its input alive.
        residual: Tensor | None = None
        for number, blocks in enumerate(self.stages):
            for block in blocks.children():
                x = block(x)
            if self.global_residual is not None and number < len(self.global_residual):
                project = self.global_residual[number]
                residual = project(x) if residual is None else residual + project(x)
        return x if residual is None else x + residual

    def set_progress(self, progress: float) -> None:
        """Tell what is scheduled over training (DropBlock) how much of it is done, 0 to 1."""
        for module in self.modules():
            if isinstance(module, DropBlock):
                module.progress = progress

    def _place_drop_block(self, spec: DropBlockSpec) -> None:
        strides = strides_to_the_end(self.arch)
        for blocks, to_the_end in zip(self.stages, strides, strict=True):
            if to_the_end <= 2:
                for block in blocks.children():
                    assert isinstance(block, Shortcut)
                    block.drop_block = DropBlock(spec)
