"""A network at other resolutions than its own: what it costs there, and what to mind."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Final

import pandas as pd

from blocks.arch import ArchSpec, Size
from blocks.arch.walk import last_map
from blocks.cost import Cost, count
from blocks.errors import ArchError
from scaling.compound import ScalingError

PERCENTS: Final = (20.0, 30.0, 40.0, 50.0, 60.0, 70.0, 80.0, 90.0, 100.0, 115.0, 130.0, 150.0)
"""Of the training resolution; 115 and 130 are about what FixRes gains from."""


@dataclass(frozen=True, slots=True)
class Resized:
    """A network at a number of pixels: what it costs, its last map, and what to mind.

    `stairs` is by how much its macs are over (or under) what its area makes of those at the
    training resolution: strides round maps up, so that cost has stairs.
    """

    percent: float
    arch: ArchSpec
    cost: Cost
    last_map: Size
    stairs: float
    notes: tuple[str, ...]


def sizes_of(
    arch: ArchSpec, num_classes: int, percents: Sequence[float] | None = None
) -> list[Resized]:
    """`arch` at percentages of its resolution, which is always one of them, small to large.

    Of `PERCENTS` (None) those that are too small for the strides are left out.

    Raises:
        ScalingError: a given percentage that is too small for the strides.
    """
    base = count(arch, num_classes).macs
    found: dict[int, Resized] = {}
    for percent in sorted({*(PERCENTS if percents is None else percents), 100.0}):
        side = max(1, round(arch.resolution * percent / 100))
        try:
            resized = arch.resized(side)
        except ArchError as error:
            if percents is None:
                continue
            raise ScalingError(f"resolution.percents={percent:g}: {error}") from None
        if side in found and percent != 100:
            continue
        cost = count(resized, num_classes)
        stairs = cost.macs / base * arch.image.area / resized.image.area - 1
        stride = arch.total_stride
        leaving = last_map(resized)
        notes = []
        if leaving == (1, 1):
            notes.append("last map 1×1")
        if side % stride or resized.image.width % stride:
            paid = Size(leaving.height * stride, leaving.width * stride)
            notes.append(f"off {stride}: pays for {paid}")
        found[side] = Resized(percent, resized, cost, leaving, stairs, tuple(notes))
    return [found[side] for side in sorted(found)]


def own_size(sizes: Sequence[Resized]) -> int:
    """Which of the sizes is the network's own resolution."""
    return next(number for number, size in enumerate(sizes) if size.percent == 100)


def cost_table(sizes: Sequence[Resized]) -> pd.DataFrame:
    """A row per size: percent, pixels, cost, last map, stairs, notes."""
    own = sizes[own_size(sizes)]
    return pd.DataFrame(
        [
            {
                "percent": size.percent,
                "pixels": size.arch.resolution,
                **asdict(size.cost),
                "macs_ratio": size.cost.macs / own.cost.macs,
                "last_map": str(size.last_map),
                "stairs": round(size.stairs, 5),
                "notes": "; ".join(size.notes),
            }
            for size in sizes
        ]
    )
