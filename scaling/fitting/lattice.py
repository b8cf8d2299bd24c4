"""The networks that `scale` can make around a B0, and where each really is.

A network's place is what it really became, not what was asked of `scale`: with repeats rounded up
a multiplier of 1.05 makes two blocks of one. So the points are drawn among the networks that
`scale` can make (repeats to the nearest, by which blocks come one by one), each at its realised
multipliers:

- depth: blocks over blocks of B0;
- width: the geometric mean of the layers' channels over B0's, each layer (the stem, every stage,
  the head) weighted by its share of B0's macs, so that macs grow by its square as nearly as can be;
- resolution: pixels over pixels.

Resolutions go in steps of the total stride, or of a half, quarter… of it where that is more than a
seventh of B0's resolution: in between, maps round up and cost has stairs (EfficientNet-B0 takes 14%
more macs at 257 px than at 256).
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from blocks.arch import ArchSpec
from blocks.cost import ArchColumns, count_by_stage
from blocks.errors import ArchError
from scaling.compound import scale

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

AXES: Final = ("depth", "width", "resolution")
LEAST_STEPS: Final = 7
"""Steps of resolution that B0's own resolution has, at the least."""
_FINE: Final = 2000
"""Multipliers that are tried for different networks."""


class Lattice:
    """The networks that `scale` makes of `baseline` with each multiplier between 2^`low` and
    2^`high` in cost: some depths × widths × resolutions.

    A network is three whole numbers, its places on the axes; `logs` holds what each place is.
    """

    def __init__(
        self, baseline: ArchSpec, num_classes: int, rounding: str, low: float, high: float
    ) -> None:
        self.baseline, self.num_classes, self.rounding = baseline, num_classes, rounding
        logs = np.linspace(low, high, _FINE) * np.log(2)
        same = baseline.resolution
        self._depths = _different(
            [(float(d), self._scale(float(d), 1.0, same)) for d in np.exp(logs)]
        )
        self._widths = _different(
            [(float(w), self._scale(1.0, float(w), same)) for w in np.exp(logs / 2)]
        )
        span = 2 ** (np.array([low, high]) / 2)
        self.resolutions = resolutions(baseline, *span)
        self.logs = (
            np.array([_log_depth(baseline, arch) for _, arch in self._depths]),
            np.array([_log_width(baseline, arch, num_classes) for _, arch in self._widths]),
            np.log(np.array(self.resolutions) / same),
        )
        self._repeats = np.array([[s.repeats for s in arch.stages] for _, arch in self._depths])
        self._channels = np.array([[s.channels for s in arch.stages] for _, arch in self._widths])
        self._ends = np.array([[a.stem, a.head, a.head_hidden] for _, a in self._widths])

    @property
    def shape(self) -> tuple[int, int, int]:
        """How many depths, widths and resolutions."""
        depths, widths, resolutions = (len(axis) for axis in self.logs)
        return depths, widths, resolutions

    @property
    def steps(self) -> Floats:
        """(3,): logs of the least growth along each axis; infinite where it cannot grow."""
        return np.array([float(axis[axis > 1e-9].min(initial=np.inf)) for axis in self.logs])

    @property
    def stuck(self) -> list[str]:
        """The axes along which nothing grows within the costs: each step costs too much."""
        return [name for name, step in zip(AXES, self.steps, strict=True) if np.isinf(step)]

    def everything(self) -> Integers:
        """(networks, 3): the places of all."""
        return np.array(list(np.ndindex(self.shape)))

    def nearest(self, logs: Floats) -> Integers:
        """(points, 3) logs → the places nearest to them, axis by axis."""
        return np.column_stack(
            [np.abs(logs[:, [n]] - axis).argmin(1) for n, axis in enumerate(self.logs)]
        )

    def realised(self, places: Integers) -> Floats:
        """(networks, 3): logs of the realised multipliers."""
        return np.column_stack([axis[places[:, n]] for n, axis in enumerate(self.logs)])

    def columns(self, places: Integers) -> ArchColumns:
        """The networks as arrays, to be costed together."""
        depth, width, resolution = places.T
        stem, head, hidden = self._ends[width].T
        return replace(
            ArchColumns.from_archs([self.baseline]).take(np.zeros(len(places), dtype=np.int64)),
            repeats=self._repeats[depth],
            channels=self._channels[width],
            stem=stem,
            head=head,
            head_hidden=hidden,
        ).at_heights(np.array(self.resolutions)[resolution], self.baseline.image)

    def arch(self, place: Sequence[int]) -> ArchSpec:
        """The network at a place."""
        depth, width, resolution = place
        return self._scale(
            self._depths[depth][0], self._widths[width][0], self.resolutions[resolution]
        )

    def _scale(self, depth: float, width: float, resolution: int) -> ArchSpec:
        return scale(self.baseline, depth, width, resolution, self.rounding, repeats="nearest")


def realised_logs(baseline: ArchSpec, arch: ArchSpec, num_classes: int) -> Floats:
    """(3,): logs of the multipliers of depth, width and resolution that `arch` is of `baseline`."""
    return np.array(
        [
            _log_depth(baseline, arch),
            _log_width(baseline, arch, num_classes),
            np.log(arch.resolution / baseline.resolution),
        ]
    )


def nominal_logs(baseline: ArchSpec, arch: ArchSpec, macs_ratio: float) -> Floats:
    """(3,): the same of a network of any shape, of so many times the baseline's macs: blocks and
    pixels as they are, and the width that the rest of the macs would be (depth · width² ·
    resolution²)."""
    depth = _log_depth(baseline, arch)
    resolution = float(np.log(arch.resolution / baseline.resolution))
    width = (math.log(macs_ratio) - depth - 2 * resolution) / 2
    return np.array([depth, width, resolution])


def resolutions(baseline: ArchSpec, least: float, most: float) -> list[int]:
    """Resolutions from `least` to `most` times B0's, in useful steps from its own; too small ones
    for its strides are left out."""
    own = baseline.resolution
    step = baseline.total_stride
    while step > 1 and step * LEAST_STEPS > own:
        step //= 2
    found = []
    for number in range(-(own // step), int(own * most // step) + 2):
        pixels = own + number * step
        if least * own <= pixels <= most * own and pixels > 0:
            try:
                baseline.resized(pixels)
            except ArchError:
                continue
            found.append(pixels)
    return found


def _different(found: list[tuple[float, ArchSpec]]) -> list[tuple[float, ArchSpec]]:
    """Of the multipliers that make the same network the middle one."""
    groups: dict[ArchSpec, list[float]] = {}
    for multiplier, arch in found:
        groups.setdefault(arch, []).append(multiplier)
    return [(each[len(each) // 2], arch) for arch, each in groups.items()]


def _blocks(arch: ArchSpec) -> int:
    return sum(stage.repeats for stage in arch.stages)


def _log_depth(baseline: ArchSpec, arch: ArchSpec) -> float:
    return float(np.log(_blocks(arch) / _blocks(baseline)))


def _log_width(baseline: ArchSpec, arch: ArchSpec, num_classes: int) -> float:
    shares = np.array([cost.macs for cost in count_by_stage(baseline, num_classes)], dtype=float)
    return float(shares @ np.log(_widths(arch) / _widths(baseline)) / shares.sum())


def _widths(arch: ArchSpec) -> Floats:
    stages = [stage.channels for stage in arch.stages]
    return np.array([arch.stem, *stages, arch.head or stages[-1]], dtype=float)
