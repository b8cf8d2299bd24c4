"""Which networks around a B0 are trained to learn what depth, width and resolution are worth."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from scipy.stats import qmc

from blocks.arch import format_arch
from blocks.cost import count
from scaling.compound import ScalingError
from scaling.fitting.lattice import AXES, Lattice

LOW: Final = -1.0
"""Least φ of a point: half of B0's cost."""
BEYOND: Final = 0.5
"""How far above the target's φ the points go: an optimum is no edge of what was seen."""
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


def check_axes(lattice: Lattice, cost: float) -> None:
    """Refuse a B0 that can grow one way at the most: there is nothing to choose between.

    Raises:
        ScalingError: names the axes that cannot grow.
    """
    if len(lattice.stuck) >= len(AXES) - 1:
        left = [name for name in AXES if name not in lattice.stuck]
        what = f"only {left[0]} of this B0" if left else "nothing of this B0"
        raise ScalingError(
            f"{what} can grow within fit.cost={cost:g}: a step of {' or '.join(lattice.stuck)} "
            "costs more, so there is nothing to choose between; expected a higher fit.cost or a "
            "larger B0"
        )


def check_levels(points: Sequence[Point], stuck: Sequence[str] = ()) -> None:
    """Refuse points that leave an axis unmoved which is not `stuck`.

    Raises:
        ScalingError: names the axis, and how many values there are.
    """
    for axis, name in enumerate(AXES):
        levels = {round(point.logs[axis], 9) for point in points}
        if len(levels) < 2 and name not in stuck:
            raise ScalingError(
                f"all networks ({len(points)}) have one {name}; expected two or more "
                "different ones (more fit.points, or another baseline)"
            )
