"""The walk over the blocks of an architecture, each with what it is where it stands.

The first block of a stage carries the stride and the change of channels; the later ones repeat
it at the stage's own width. Which shortcut a block has follows from that. Both rules are stated
here alone: modules, costs, memory, latencies and foreign weights all walk. `blocks.cost.columns`
is the same walk over many architectures at once, by these rules on arrays.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from blocks.arch.size import Size
from blocks.arch.words import BOTTLENECKS
from blocks.rounding import expanded_channels, squeezed_channels

if TYPE_CHECKING:
    from blocks.arch.spec import ArchSpec
    from blocks.arch.stage import StageSpec


class Block(NamedTuple):
    """A block where it stands: number `repeat` of stage number `stage_index`, both from 0.

    Maps are those that enter and leave, in pixels. `hidden` is the expanded (or
    bottleneck) width, `squeezed` that of squeeze-excite, 0 where there is none. `adds`: the
    shortcut is the identity; `projects`: it is a strided 1×1 convolution; neither: there is none.
    """

    stage: "StageSpec"
    stage_index: int
    repeat: int
    in_channels: int
    out_channels: int
    stride: int
    in_map: Size
    out_map: Size
    hidden: int
    squeezed: int
    adds: bool
    projects: bool

    @property
    def taps(self) -> int:
        """Elements of its kernel."""
        return self.stage.kernel * self.stage.kernel

    @property
    def groups(self) -> int:
        return self.stage.groups

    @property
    def name(self) -> str:
        """Where `Network` keeps its module: `stages.i.j`."""
        return f"stages.{self.stage_index}.{self.repeat}"

    @property
    def is_last(self) -> bool:
        """Whether its output is the stage's."""
        return self.repeat == self.stage.repeats - 1


def walk(arch: "ArchSpec") -> Iterator[Block]:
    """Every block of `arch`, from stem to head."""
    for block, times in walk_alike(arch):
        yield block
        for repeat in range(block.repeat + 1, block.repeat + times):
            yield block._replace(repeat=repeat)


def walk_alike(arch: "ArchSpec") -> Iterator[tuple[Block, int]]:
    """`walk` with equal neighbours counted together: each stage's first block, and its others."""
    entering, channels = stem_map(arch), arch.stem
    for number, stage in enumerate(arch.stages):
        first = _block(arch, stage, number, 0, stage.stride, channels, entering)
        yield first, 1
        entering, channels = first.out_map, stage.channels
        if stage.repeats > 1:
            yield _block(arch, stage, number, 1, 1, channels, entering), stage.repeats - 1


def stem_map(arch: "ArchSpec", image: Size | None = None) -> Size:
    """The map that enters the first stage, in pixels; of another image than its own, if given."""
    leaving = (image or arch.image).strided(arch.stem_stride)
    return leaving.strided(2) if arch.stem_pool else leaving


def last_map(arch: "ArchSpec", image: Size | None = None) -> Size:
    """The map that enters the head, in pixels; of another image than its own, if given."""
    leaving = stem_map(arch, image)
    for stage in arch.stages:
        leaving = leaving.strided(stage.stride)
    return leaving


def strides_to_the_end(arch: "ArchSpec") -> list[int]:
    """For each stage, by how much the stages after it shrink its map."""
    strides = [1]
    for stage in reversed(arch.stages[1:]):
        strides.append(strides[-1] * stage.stride)
    return strides[::-1]


def _block(
    arch: "ArchSpec", stage: "StageSpec", stage_index: int, repeat: int, stride: int,
    channels: int, entering: Size,
) -> Block:  # fmt: skip
    out, bottleneck = stage.channels, stage.block in BOTTLENECKS
    hidden = expanded_channels(out if bottleneck else channels, stage.expand_ratio)
    squeezed = 0
    if stage.se_ratio:
        base = hidden if arch.se_base == "expanded" else channels
        squeezed = squeezed_channels(base, stage.se_ratio, arch.se_divisor)
    return Block(
        stage, stage_index, repeat, channels, out, stride, entering,
        entering.strided(stride), hidden,
        squeezed, *shortcut(bool(stage.skip), bottleneck, stride, channels, out),
    )  # fmt: skip


def shortcut(skip: Any, bottleneck: Any, stride: Any, inputs: Any, outputs: Any) -> tuple[Any, Any]:
    """Whether the shortcut is the identity, and whether it is a convolution; bools or arrays.

    The identity needs an output of the input's shape. A bottleneck projects where it is not.
    """
    adds = skip & (stride == 1) & (inputs == outputs)
    return adds, bottleneck & (skip ^ adds)


def has_identity(repeats: int, stride: int, inputs: int, outputs: int) -> bool:
    """Whether a stage of such blocks can add its input anywhere, so that `skip` says something."""
    return repeats > 1 or bool(shortcut(True, False, stride, inputs, outputs)[0])
