"""What many networks cost: the formulas of blocks, applied once to all blocks of a shape."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from blocks.arch.size import Size
from blocks.cost.counting import Cost
from blocks.cost.parts import FORMULAS, Part, Sizes, conv_part

if TYPE_CHECKING:
    from blocks.cost.columns import ArchColumns, BlockColumns

Integers = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class CostColumns:
    """`Cost` of many architectures: four int64 arrays of equal length, in their order."""

    params: Integers
    macs: Integers
    flops_fvcore: Integers
    activations: Integers

    def __len__(self) -> int:
        return len(self.params)

    def __getitem__(self, index: int) -> Cost:
        return Cost(
            int(self.params[index]),
            int(self.macs[index]),
            int(self.flops_fvcore[index]),
            int(self.activations[index]),
        )


def count_columns(columns: "ArchColumns", num_classes: int) -> CostColumns:
    """`count` of every architecture, unchecked for overflow."""
    archs = len(columns)
    totals = Part(*(np.zeros(archs, dtype=np.int64) for _ in Part._fields))

    def add(rows: Any, part: Part, times: Any = 1) -> None:
        for total, column in zip(totals, part, strict=True):
            total[rows] += times * column

    everyone = np.arange(archs)
    taps = columns.stem_kernel**2
    stem = columns.image.strided(columns.stem_stride)
    add(everyone, conv_part(columns.in_channels, columns.stem, stem.area, taps))
    leaving, channels = columns.stem_map, columns.stem
    for blocks in columns.blocks():
        for rows, part in _parts(columns, blocks):
            add(rows, part, blocks.times[rows])
        leaving, channels = blocks.out_map, blocks.out_channels
    area = leaving.area
    depth = columns.present.sum(1)
    for position in range(columns.channels.shape[1] - 1):
        rows = np.flatnonzero((columns.global_residual > 0) & (position < depth - 1))
        add(rows, conv_part(columns.channels[rows, position], channels[rows], area[rows]))
    features = np.where(columns.head, columns.head, channels)
    rows = np.flatnonzero(columns.head)
    add(rows, conv_part(channels[rows], columns.head[rows], area[rows]))
    pooled = totals.pooled + features * area
    hidden = columns.head_hidden
    linear = features * np.where(hidden, hidden, num_classes) + hidden * num_classes
    macs = totals.conv + linear
    norm_flops = np.where(columns.norm_group_size, 5, 2)
    return CostColumns(
        params=totals.params + linear + hidden + num_classes,
        macs=macs,
        flops_fvcore=macs + norm_flops * totals.norm_elements + pooled,
        activations=totals.activations + hidden + num_classes,
    )


def _parts(
    columns: "ArchColumns", blocks: "BlockColumns"
) -> Iterator[tuple[NDArray[np.intp], Part]]:
    """(which architectures, cost of one block there), a shape of block at a time."""
    position = blocks.position
    squeezes = columns.se_ratio[:, position] > 0
    shape_number = (columns.block[:, position] * 2 + squeezes) * 2 + blocks.projects
    for number in np.unique(shape_number[blocks.times > 0]):
        rows = np.flatnonzero((shape_number == number) & (blocks.times > 0))
        name = list(FORMULAS)[number // 4]
        sizes = Sizes(
            blocks.in_channels[rows],
            blocks.out_channels[rows],
            _at(blocks.in_map, rows),
            _at(blocks.out_map, rows),
            blocks.hidden[rows],
            blocks.squeezed[rows],
            columns.kernel[rows, position] ** 2,
            columns.groups[rows, position],
        )
        yield rows, FORMULAS[name](sizes, bool(number // 2 % 2), bool(number % 2))


def _at(maps: Size, rows: NDArray[np.intp]) -> Size:
    height = maps.height[rows]
    return Size(height, height if maps.width is maps.height else maps.width[rows])
