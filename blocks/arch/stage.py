"""A stage of a network, as a frozen value."""

from dataclasses import dataclass

from blocks.arch.checks import check_int, check_real, check_stride, check_word
from blocks.arch.words import (
    ACTIVATIONS,
    BLOCKS,
    BOTTLENECKS,
    MAX_KERNEL,
    WITH_SQUEEZE_EXCITE,
    WITHOUT_EXPANSION,
)
from blocks.errors import ArchError
from blocks.rounding import expanded_channels


@dataclass(frozen=True, slots=True)
class StageSpec:
    """A row of the paper's Table 1: `repeats` equal blocks, of which the first carries the stride.

    `block` is a key of `BLOCKS`. `expand_ratio` is the inner width relative to the block's
    input, and for the bottlenecks `bt` and `bx` relative to its output (0.25 in ResNet).
    `se_ratio` is relative to the channels that enter the block (tensorflow/tpu
    efficientnet_model.py) unless the architecture says otherwise; 0 leaves squeeze-excite out.
    `skip=False` (timm's `noskip`) drops the shortcut. `groups` are those of the k×k convolution
    of `bx`. `act` is this stage's own activation; None is the architecture's.

    Raises:
        ArchError: a field is outside its range.
    """

    block: str
    repeats: int
    kernel: int
    stride: int
    expand_ratio: float
    channels: int
    se_ratio: float = 0.0
    skip: bool = True
    groups: int = 1
    act: str | None = None

    def __post_init__(self) -> None:
        check_word("block", self.block, BLOCKS)
        check_int("repeats", self.repeats, 1)
        check_int("kernel", self.kernel, 3)
        if self.kernel % 2 == 0:
            raise ArchError(f"kernel {self.kernel} is even; expected an odd kernel of 3 or more")
        if self.kernel > MAX_KERNEL:
            raise ArchError(f"kernel {self.kernel} is over {MAX_KERNEL}, the largest allowed")
        check_stride("stride", self.stride)
        check_int("channels", self.channels, 1)
        bottleneck = self.block in BOTTLENECKS
        least, most = (1 / 64, 1.0) if bottleneck else (1.0, 64.0)
        check_real("expand_ratio", self.expand_ratio, least, most)
        check_real("se_ratio", self.se_ratio, 0.0, 1.0)
        if self.block in WITHOUT_EXPANSION and self.expand_ratio != 1:
            raise ArchError(
                f"block {self.block} has expand_ratio {self.expand_ratio:g}; it has no "
                f"expansion, so expected 1 (or block {'ir' if self.block == 'ds' else 'er'})"
            )
        if self.block in ("ir", "er") and self.expand_ratio == 1:
            raise ArchError(
                f"block {self.block} has expand_ratio 1; without an expansion it is block "
                f"{'ds' if self.block == 'ir' else 'cn'}, and one network has one spelling"
            )
        if self.se_ratio and self.block not in WITH_SQUEEZE_EXCITE:
            raise ArchError(
                f"block {self.block} has se_ratio {self.se_ratio:g}; squeeze-excite is a part of "
                f"{', '.join(WITH_SQUEEZE_EXCITE)} only"
            )
        check_int("groups", self.groups, 1)
        if (self.groups > 1) != (self.block == "bx"):
            raise ArchError(
                f"block {self.block} has groups {self.groups}; expected "
                + ("2 or more (one group is block bt)" if self.block == "bx" else "1 (or block bx)")
            )
        if bottleneck:
            inner = expanded_channels(self.channels, self.expand_ratio)
            if inner < 1 or inner % self.groups:
                raise ArchError(
                    f"block {self.block} has {inner} inner channels (channels {self.channels} × "
                    f"expand_ratio {self.expand_ratio:g}); expected a multiple of its "
                    f"{self.groups} groups"
                )
        if self.act is not None:
            check_word("act", self.act, ACTIVATIONS)
