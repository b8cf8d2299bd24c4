"""Which networks around a B0 are trained to learn what depth, width and resolution are worth.

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

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.stats import qmc

from blocks.arch import ArchSpec, format_arch
from blocks.cost import ArchColumns, count, count_by_stage
from blocks.errors import ArchError
from scaling.compound import ScalingError, scale

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

LOW: Final = -1.0
"""Least φ of a point: half of B0's cost."""
BEYOND: Final = 0.5
"""How far above the target's φ the points go: an optimum is no edge of what was seen."""
LEAST_STEPS: Final = 7
"""Steps of resolution that B0's own resolution has, at the least."""
_FINE: Final = 2000
"""Multipliers that are tried for different networks."""
_DRAWS: Final = 2**13


@dataclass(frozen=True, slots=True)
class Point:
    """A network to train: `logs` of its realised (depth, width, resolution) multipliers, and how.

    `trainings` differ in their seeds.
    """

    arch: str
    logs: tuple[float, float, float]
    macs: int
    activations: int
    epochs: int
    train_fraction: float
    trainings: int


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
            [(float(d), self._scale(1.0, float(d), same)) for d in np.exp(logs)]
        )
        self._widths = _different(
            [(float(w), self._scale(float(w), 1.0, same)) for w in np.exp(logs / 2)]
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
            resolution=np.array(self.resolutions)[resolution],
        )

    def arch(self, place: Sequence[int]) -> ArchSpec:
        """The network at a place."""
        depth, width, resolution = place
        return self._scale(
            self._widths[width][0], self._depths[depth][0], self.resolutions[resolution]
        )

    def _scale(self, width: float, depth: float, resolution: int) -> ArchSpec:
        return scale(self.baseline, width, depth, resolution, self.rounding, repeats="nearest")


def realised_logs(baseline: ArchSpec, arch: ArchSpec, num_classes: int) -> Floats:
    """(3,): logs of the multipliers of depth, width and resolution that `arch` is of `baseline`."""
    return np.array(
        [
            _log_depth(baseline, arch),
            _log_width(baseline, arch, num_classes),
            np.log(arch.resolution / baseline.resolution),
        ]
    )


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
                replace(baseline, resolution=pixels)
            except ArchError:
                continue
            found.append(pixels)
    return found


def draw_points(
    lattice: Lattice,
    number: int,
    high: float,
    epochs: Sequence[int],
    fractions: Sequence[float],
    seed: int,
) -> list[Point]:
    """B0, and then different networks of a scrambled Sobol sequence, `number` in all if there are
    so many; more of them begin with the same ones.

    Their counted cost is between 2^`LOW` and 2^`high` times B0's. Where there are several `epochs`
    or `fractions` of the training images these are further dimensions of the sequence.
    """
    base = count(lattice.baseline, lattice.num_classes)
    extra = int(len(epochs) > 1) + int(len(fractions) > 1)
    drawn = qmc.Sobol(3 + extra, scramble=True, seed=np.random.default_rng(seed)).random(_DRAWS)
    # Doublings of the cost by each axis alone: depth once, width and resolution squared.
    logs = (LOW + (high - LOW) * drawn[:, :3]) * np.log(2) / np.array([1.0, 2.0, 2.0])
    places = lattice.nearest(logs)
    costs = lattice.columns(places).count(lattice.num_classes)
    phi = np.log2(costs.macs / base.macs)
    where = lattice.realised(places)
    levels = np.zeros((_DRAWS, 2), dtype=np.int64)
    for axis, values in ((0, epochs), (1, fractions)):
        if len(values) > 1:
            column = 3 if axis == 0 or extra == 1 else 4
            levels[:, axis] = (drawn[:, column] * len(values)).astype(np.int64)
    first = Point(
        format_arch(lattice.baseline), (0.0, 0.0, 0.0), base.macs, base.activations,
        max(epochs), max(fractions), 1,
    )  # fmt: skip
    found = [first]
    seen = {(first.arch, first.epochs, first.train_fraction)}
    for row in np.flatnonzero((phi >= LOW) & (phi <= high)):
        if len(found) >= number:
            break
        arch = format_arch(lattice.arch([int(place) for place in places[row]]))
        how = epochs[levels[row, 0]], fractions[levels[row, 1]]
        if (arch, *how) not in seen:
            seen.add((arch, *how))
            depth, width, resolution = (float(value) for value in where[row])
            found.append(
                Point(
                    arch,
                    (depth, width, resolution),
                    int(costs.macs[row]),
                    int(costs.activations[row]),
                    *how,
                    1,
                )
            )
    return found


def repeat_points(points: Sequence[Point], repeated: int, seeds: int) -> list[Point]:
    """The first `repeated` of the points with all of the seeds."""
    return [
        replace(point, trainings=seeds if number < repeated else 1)
        for number, point in enumerate(points)
    ]


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


def check_levels(points: Sequence[Point]) -> None:
    """Refuse points that leave an axis unmoved.

    Raises:
        ScalingError: names the axis, and how many values there are.
    """
    for axis, name in enumerate(("depths", "widths", "resolutions")):
        levels = {round(point.logs[axis], 9) for point in points}
        if len(levels) < 2:
            raise ScalingError(
                f"all {len(points)} networks have one of the {name}; expected two or more "
                "different ones (more fit.points, or another baseline)"
            )
