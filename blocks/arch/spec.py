"""A whole network, as a frozen value."""

import math
from dataclasses import dataclass, replace

from blocks.arch.checks import check_int, check_real, check_stride, check_word
from blocks.arch.format import format_arch, format_stage
from blocks.arch.size import Size
from blocks.arch.stage import StageSpec
from blocks.arch.walk import walk_alike
from blocks.arch.words import ACTIVATIONS, BOTTLENECKS, GATES, MAX_KERNEL, PADDINGS, SE_BASES
from blocks.errors import ArchError


@dataclass(frozen=True, slots=True)
class ArchSpec:
    """A whole network: stem, stages, 1×1 head convolution, pooling, classifier.

    `resolution` is the height of the input in pixels, `wide` its width where it is not square
    (None: as wide as high); `image` is both. `stem` and `head` are channels;
    `head=0` has no head convolution (ResNet), `head_hidden` is a linear layer between pooling
    and classifier (MobileNetV3), `stem_pool` a 3×3 max pooling of stride 2 after the stem.

    Squeeze-excite, network-wide: `se_gate`, `se_act` (None: the stage's activation), `se_base`
    (what `se_ratio` multiplies) and `se_divisor` (what the squeezed channels are rounded to).
    `padding="same"` is TensorFlow's, asymmetric at stride 2. `norm_momentum` is PyTorch's sense
    (weight of the new batch). `norm_group_size` of 2 or more is group normalisation with groups
    of so many channels instead of batch normalisation (0).
    `global_residual` is an experiment: the outputs of all stages, projected to the last
    stage's channels by strided 1×1 convolutions, are summed into the head.

    Raises:
        ArchError: a field is outside its range, or `resolution` is too small for the strides.
    """

    stem: int
    stages: tuple[StageSpec, ...]
    head: int
    resolution: int
    act: str = "silu"
    stem_stride: int = 2
    in_channels: int = 3
    stem_kernel: int = 3
    stem_pool: bool = False
    head_hidden: int = 0
    se_gate: str = "sigmoid"
    se_act: str | None = None
    se_base: str = "input"
    se_divisor: int = 1
    padding: str = "symmetric"
    norm_eps: float = 1e-5
    norm_momentum: float = 0.1
    norm_group_size: int = 0
    global_residual: bool = False
    wide: int | None = None

    def __post_init__(self) -> None:
        check_int("stem", self.stem, 1)
        check_int("head", self.head, 0)
        check_int("head_hidden", self.head_hidden, 0)
        check_int("resolution", self.resolution, 1)
        if self.wide is not None:
            check_int("wide", self.wide, 1)
            if self.wide == self.resolution:  # one network has one spelling
                object.__setattr__(self, "wide", None)
        check_int("in_channels", self.in_channels, 1)
        check_stride("stem_stride", self.stem_stride)
        check_int("stem_kernel", self.stem_kernel, 3)
        if self.stem_kernel % 2 == 0 or self.stem_kernel > MAX_KERNEL:
            raise ArchError(
                f"stem_kernel {self.stem_kernel} is not an odd number from 3 to {MAX_KERNEL}"
            )
        if not isinstance(self.stages, tuple) or not self.stages:
            raise ArchError(f"stages {self.stages!r} is not a tuple of at least one StageSpec")
        check_word("act", self.act, ACTIVATIONS)
        for stage in self.stages:
            if not isinstance(stage, StageSpec):
                raise ArchError(f"stages holds {stage!r}, which is not a StageSpec")
            if stage.act == self.act:
                raise ArchError(
                    f"stage {format_stage(stage)!r} names act {stage.act}, which is the whole "
                    "network's; leave it out, as one network has one spelling"
                )
        check_word("se_gate", self.se_gate, GATES)
        if self.se_act is not None:
            check_word("se_act", self.se_act, ACTIVATIONS)
        check_word("se_base", self.se_base, SE_BASES)
        check_int("se_divisor", self.se_divisor, 1)
        check_word("padding", self.padding, PADDINGS)
        check_real("norm_eps", self.norm_eps, 1e-12, 1.0)
        check_real("norm_momentum", self.norm_momentum, 0.0, 1.0)
        check_int("norm_group_size", self.norm_group_size, 0)
        self._check_group_norm()
        self._check_resolution()

    def _check_group_norm(self) -> None:
        size = self.norm_group_size
        if size == 0:
            return
        if size == 1:
            raise ArchError("norm_group_size 1 leaves one channel a group; expected 0, or over 1")
        widths = {"stem": self.stem, "head": self.head}
        for block, times in walk_alike(self):
            stage = f"stage {block.stage_index + 1}"
            bottleneck = block.stage.block in BOTTLENECKS
            base = block.out_channels if bottleneck else block.in_channels
            widths[f"{stage} (inner, of {base})"] = block.hidden
            if block.repeat + times == block.stage.repeats:
                widths[stage] = block.out_channels
        for name, width in widths.items():
            if width % size:
                raise ArchError(
                    f"{name} has {width} channels; expected a multiple of norm_group_size {size}"
                )

    def _check_resolution(self) -> None:
        """Refuse a stride on a 1×1 map: it would drop nothing but the name of a downsampling."""
        least = self.total_stride // 2 + 1
        if self.image.shorter < least:
            halvings = self.total_stride.bit_length() - 1
            raise ArchError(
                f"resolution {self.image} is too small for {halvings} strides of 2; "
                f"expected {least} or more"
            )

    @property
    def image(self) -> Size:
        """Height and width of the input, in pixels."""
        return Size(self.resolution, self.resolution if self.wide is None else self.wide)

    def resized(self, resolution: int) -> "ArchSpec":
        """The same network for images of this height, and as wide in proportion.

        Raises:
            ArchError: that is too small for the strides.
        """
        return self.with_image(self.image.at_height(resolution))

    def with_image(self, image: Size) -> "ArchSpec":
        """The same network for images of this size.

        Raises:
            ArchError: that is too small for the strides.
        """
        return replace(self, resolution=image.height, wide=image.width)

    @property
    def total_stride(self) -> int:
        """Pixels of the image per element of the last map, along a side."""
        strides = [self.stem_stride, 2 if self.stem_pool else 1, *(s.stride for s in self.stages)]
        return math.prod(strides)

    @property
    def least_resolution(self) -> int:
        """The least height at which every stride still drops something on both sides, in pixels,
        the image as wide in proportion."""
        least = self.total_stride // 2 + 1
        height = least
        while self.image.at_height(height).shorter < least:
            height += 1
        return height

    def __str__(self) -> str:
        return format_arch(self)
