"""Architectures as arrays: the walk over the blocks of many at once, and what they cost.

The rules are those of `blocks.arch.walk`; where a rule is a formula, the same function is applied
to arrays.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from operator import attrgetter
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from blocks.arch import BLOCKS, BOTTLENECKS, ArchSpec
from blocks.arch.size import Size, square
from blocks.arch.walk import shortcut
from blocks.cost.counting import count
from blocks.cost.many import CostColumns, Integers, count_columns
from blocks.errors import ArchError

Mask = NDArray[np.bool_]

_STAGE_FIELDS = attrgetter(
    "repeats", "kernel", "stride", "channels", "groups", "skip", "expand_ratio", "se_ratio"
)
_ARCH_NAMES: Final = (
    "stem",
    "head",
    "resolution",
    "wide",
    "in_channels",
    "stem_stride",
    "stem_kernel",
    "stem_pool",
    "head_hidden",
    "se_divisor",
    "norm_group_size",
    "global_residual",
)
_ARCH_FIELDS = attrgetter(*("image.width" if name == "wide" else name for name in _ARCH_NAMES))
BLOCK_NUMBERS: Final = {block: number for number, block in enumerate(BLOCKS)}
"""Block token → its number in `ArchColumns.block`."""

_IS_BOTTLENECK: Final = np.array([block in BOTTLENECKS for block in BLOCK_NUMBERS])


@dataclass
class ArchColumns:
    """Architectures as arrays, to be costed together.

    Fields of whole networks have shape (archs,), fields of stages (archs, most stages), where
    `present` says which stages a network has. A search fills them by choice, without making an
    `ArchSpec` of every candidate; `dataclasses.replace` changes some of them.
    """

    stem: Integers
    head: Integers
    resolution: Integers  # height of the image
    wide: Integers  # and its width, also of a square
    in_channels: Integers
    stem_stride: Integers
    stem_kernel: Integers
    stem_pool: Integers
    head_hidden: Integers
    se_divisor: Integers
    norm_group_size: Integers
    global_residual: Integers
    se_expanded: NDArray[np.bool_]
    present: NDArray[np.bool_]
    block: Integers  # BLOCK_NUMBERS of the block's token
    repeats: Integers
    kernel: Integers
    stride: Integers
    channels: Integers
    groups: Integers
    skip: NDArray[np.bool_]
    expand_ratio: NDArray[np.float64]
    se_ratio: NDArray[np.float64]

    @classmethod
    def from_archs(cls, archs: Sequence[ArchSpec]) -> "ArchColumns":
        """The columns of architectures, in their order."""
        whole = np.array([_ARCH_FIELDS(arch) for arch in archs], dtype=np.int64)
        whole = whole.reshape(-1, len(_ARCH_NAMES))
        depth = np.array([len(arch.stages) for arch in archs], dtype=np.int64)
        stages = [stage for arch in archs for stage in arch.stages]
        rows = np.array([_STAGE_FIELDS(stage) for stage in stages], dtype=np.float64).reshape(-1, 8)
        present = np.arange(int(depth.max(initial=0))) < depth[:, None]
        padded = np.ones((*present.shape, 9))
        padded[present, :8] = rows
        padded[present, 8] = [BLOCK_NUMBERS[stage.block] for stage in stages]
        repeats, kernel, stride, channels, groups = (
            padded[:, :, column].astype(np.int64) for column in range(5)
        )
        return cls(
            **dict(zip(_ARCH_NAMES, whole.T, strict=True)),
            se_expanded=np.array([arch.se_base == "expanded" for arch in archs], dtype=bool),
            present=present,
            block=padded[:, :, 8].astype(np.int64),
            repeats=repeats,
            kernel=kernel,
            stride=stride,
            channels=channels,
            groups=groups,
            skip=padded[:, :, 5] > 0,
            expand_ratio=padded[:, :, 6],
            se_ratio=padded[:, :, 7],
        )

    def __len__(self) -> int:
        return len(self.stem)

    def take(self, rows: ArrayLike) -> "ArchColumns":
        """The architectures at `rows` (positions or a mask), which may repeat."""
        chosen = np.asarray(rows)
        values = {field.name: getattr(self, field.name)[chosen] for field in fields(self)}
        return ArchColumns(**values)

    def at_heights(self, heights: Integers, like: Size) -> "ArchColumns":
        """Each for images of its height (archs,), as wide in proportion as `like`."""
        # As `Size.at_height` rounds: half to even.
        wide = np.maximum(1, np.rint(heights * like.width / like.height)).astype(np.int64)
        return replace(self, resolution=heights, wide=wide)

    def count(self, num_classes: int) -> CostColumns:
        """`blocks.cost.count` of every architecture, unchecked for overflow."""
        return count_columns(self, num_classes)

    @property
    def image(self) -> Size:
        """`ArchSpec.image` of every architecture; where all are square one column is both sides."""
        if np.array_equal(self.resolution, self.wide):
            return square(self.resolution)
        return Size(self.resolution, self.wide)

    @property
    def stem_map(self) -> Size:
        """`blocks.arch.walk.stem_map` of every architecture."""
        return self.image.strided(self.stem_stride).strided(1 + (self.stem_pool > 0))

    def blocks(self) -> Iterator["BlockColumns"]:
        """`blocks.arch.walk.walk_alike` of every architecture: by stage, the first blocks and then
        all later ones, of which an architecture may have none."""
        entering, channels = self.stem_map, self.stem
        for position in range(self.channels.shape[1]):
            here = self.present[:, position]
            out = np.where(here, self.channels[:, position], channels)
            stride = np.where(here, self.stride[:, position], 1)
            first = self._block(position, here.astype(np.int64), channels, out, entering, stride)
            entering, channels = first.out_map, out
            yield first
            later = np.where(here, self.repeats[:, position] - 1, 0)
            yield self._block(position, later, out, out, entering, np.ones_like(stride))

    def _block(
        self, position: int, times: Integers, channels: Integers, out: Integers, entering: Size,
        stride: Integers,
    ) -> "BlockColumns":  # fmt: skip
        bottleneck = _IS_BOTTLENECK[self.block[:, position]]
        base = np.where(bottleneck, out, channels)
        # rint rounds half to even, as Python's round does in `expanded_channels`.
        hidden = np.rint(base * self.expand_ratio[:, position]).astype(np.int64)
        adds, projects = shortcut(self.skip[:, position], bottleneck, stride, channels, out)
        return BlockColumns(
            position, times, channels, out, stride, entering,
            entering.strided(stride), hidden,
            self._squeezed(position, channels, hidden), adds, projects,
        )  # fmt: skip

    def _squeezed(self, position: int, channels: Integers, hidden: Integers) -> Integers:
        """`blocks.rounding.squeezed_channels` of columns; 0 where nothing squeezes."""
        squeezed = np.zeros_like(hidden)
        rows = np.flatnonzero(self.se_ratio[:, position])
        base = np.where(self.se_expanded[rows], hidden[rows], channels[rows])
        asked, divisor = base * self.se_ratio[rows, position], self.se_divisor[rows]
        squeezed[rows] = np.maximum(1, asked.astype(np.int64))
        if (divisor == 1).all():  # mostly so, and whole divisions of columns are slow
            return squeezed
        rounded = (asked + divisor / 2).astype(np.int64) // divisor * divisor
        rounded = np.maximum(divisor, rounded)
        rounded += np.where(rounded < 0.9 * asked, divisor, 0)
        squeezed[rows] = np.where(divisor == 1, squeezed[rows], rounded)
        return squeezed


class BlockColumns(NamedTuple):
    """`blocks.arch.walk.Block` of every architecture at one place; arrays of shape (archs,).

    `times` is how often a block stands there in a row. It is 0 where an architecture has none:
    there the map passes on as it came.
    """

    position: int  # of the stage
    times: Integers
    in_channels: Integers
    out_channels: Integers
    stride: Integers
    in_map: Size
    out_map: Size
    hidden: Integers
    squeezed: Integers
    adds: Mask
    projects: Mask


def count_many(archs: Sequence[ArchSpec], num_classes: int = 1000) -> CostColumns:
    """`count` of every architecture, as columns: the same formulas on NumPy arrays.

    Raises:
        ArchError: a network of 10¹⁸ macs or more, which 64 bits cannot count.
    """
    columns = ArchColumns.from_archs(archs)
    # The widest a block can be, in floating point: it overflows to a large number, not to a small.
    width = np.maximum(columns.channels.max(initial=1), columns.stem.max(initial=1)).astype(float)
    ratio = max(1.0, float(columns.expand_ratio.max(initial=1)))
    most = width**2 * ratio * float(columns.image.area.max(initial=1))
    most *= float(columns.kernel.max(initial=1)) ** 2 * float(columns.repeats.max(initial=1))
    if most * 32 > 1e18:
        for arch in archs:
            if count(arch, num_classes).macs >= 10**18:
                raise ArchError(f"{arch} has 10^18 macs or more, too many to count in columns")
    return columns.count(num_classes)
