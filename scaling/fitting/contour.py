"""What costs the same: networks, and real multipliers, of so many times B0's counted cost.

Rounding makes the cost of real networks a staircase, on which no two directions cost exactly the
same. So a smooth law, a quadratic in logs, is fitted to the counted costs of all networks near the
target that `scale` can make, and directions are compared where it says the target.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from blocks.cost import ArchColumns, count
from scaling.compound import ScalingError
from scaling.fitting.lattice import Floats, Integers, Lattice
from scaling.rules import RIVALS, direction

Metric = Callable[[ArchColumns], NDArray[Any]]

NEAR: Final = (1.6, 2.5, 6.0)
"""Networks within this factor of the target tell the law of cost around it; within the next where
they are too few, as a small B0 has few widths."""
STEPS: Final = 80
"""Values of depth and of resolution for each of which the width is solved."""
_MOST: Final = 40_000
"""Networks that are counted."""
_HALVINGS: Final = 40


@dataclass(frozen=True)
class Contour:
    """Where the counted cost is `ratio` times B0's.

    `logs` (points, 3) are multipliers of 1 or more that cost so much by the smooth law. `places`
    (networks, 3) in the lattice, their `realised` logs and `ratios` are real networks that do, to
    the tolerance. `stairs` is the deviation of real networks from the law, as a share of cost.
    `macs` are the coefficients of the like law of macs, of which there are at most `most_macs`
    times B0's: as the design has, beyond which nothing was trained.
    """

    ratio: float
    coefficients: Floats
    stairs: float
    logs: Floats
    places: Integers
    realised: Floats
    ratios: Floats
    most: Floats
    macs: Floats
    most_macs: float

    def cost(self, logs: Floats) -> Floats:
        """(points, 3) → cost over that of B0, by the smooth law."""
        return np.asarray(np.exp(quadratic_features(logs) @ self.coefficients))

    def seen(self, logs: Floats) -> NDArray[np.bool_]:
        """(points, 3) → whether their macs are within the design."""
        macs = np.exp(quadratic_features(logs) @ self.macs)
        return np.asarray(macs <= self.most_macs * (1 + 1e-6))

    def along(self, direction: Floats) -> Floats | None:
        """The multiple of a direction (3,) in logs that costs the target; None where none does,
        within the multipliers and the macs that the points have."""
        if not (direction > 0).any():
            return None
        reach = float(np.min(self.most[direction > 0] / direction[direction > 0]))
        if self.cost(reach * direction[None, :])[0] < self.ratio:
            return None
        low, high = 0.0, reach
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            below = self.cost(middle * direction[None, :])[0] < self.ratio
            low, high = (middle, high) if below else (low, middle)
        found = high * direction
        return np.asarray(found) if self.seen(found[None, :])[0] else None

    def rivals(self) -> dict[str, Floats]:
        """Where each of `RIVALS` costs the target; those that do within the design."""
        found = {name: self.along(direction(rule)) for name, rule in RIVALS.items()}
        return {name: place for name, place in found.items() if place is not None}


def find_contour(
    lattice: Lattice,
    metric: Metric,
    base: float,
    ratio: float,
    tolerance: float,
    seed: int,
    most_macs: float = np.inf,
) -> Contour:
    """The contour of `metric`, of which B0 has `base`, as far as macs are `most_macs` of B0's.

    Raises:
        ScalingError: no network that the lattice can make costs so much.
    """
    places = lattice.everything()
    if len(places) > _MOST:
        chosen = np.random.default_rng(seed).choice(len(places), _MOST, replace=False)
        places = places[np.sort(chosen)]
    realised = lattice.realised(places)
    columns = lattice.columns(places)
    ratios = metric(columns) / base
    macs = columns.count(lattice.num_classes).macs.astype(np.float64)
    macs /= count(lattice.baseline, lattice.num_classes).macs
    grown = realised.min(1) >= -1e-9
    law = _law(realised, ratios, ratio, grown)
    if law is None:
        raise ScalingError(
            f"{int((np.abs(np.log(ratios / ratio)) < np.log(NEAR[-1])).sum())} networks cost about "
            f"{ratio:g} times B0: too few to tell what depth, width and resolution cost "
            "(fit.cost, or a larger baseline)"
        )
    coefficients, stairs = law
    # A target in macs is within them by itself.
    limit = None if math.isinf(most_macs) else _law(realised, macs, most_macs, grown)
    of_macs = np.zeros_like(coefficients) if limit is None else limit[0]
    grown &= macs <= most_macs
    places, realised, ratios = places[grown], realised[grown], ratios[grown]
    within = np.flatnonzero(np.abs(ratios / ratio - 1) <= tolerance)
    if not len(within):
        within = np.array([int(np.abs(ratios / ratio - 1).argmin())])
    most = np.array([float(axis.max()) for axis in lattice.logs])
    contour = Contour(
        ratio, coefficients, stairs, np.zeros((0, 3)), places[within], realised[within],
        ratios[within], most, of_macs, most_macs,
    )  # fmt: skip
    found = _solve(contour)
    found = found[contour.seen(found)]
    if not len(found):
        raise ScalingError(
            f"nothing between 1 and {', '.join(f'{x:.2f}' for x in np.exp(most))} times B0's "
            f"depth, width and resolution costs fit.cost={ratio:g} times as much"
        )
    return replace(contour, logs=found)


def quadratic_features(logs: Floats) -> Floats:
    """(points, axes) → (points, 1 + axes + axes·(axes + 1)/2): 1, x, and all products of two."""
    axes = logs.shape[1]
    pairs = [(i, j) for i in range(axes) for j in range(i, axes)]
    return np.column_stack([np.ones(len(logs)), logs, *(logs[:, i] * logs[:, j] for i, j in pairs)])


def _law(
    realised: Floats, ratios: Floats, ratio: float, grown: NDArray[np.bool_]
) -> tuple[Floats, float] | None:
    """Coefficients of the quadratic in logs, and what networks deviate from it.

    Told by grown networks near to the target, or by what else there is where those are too few;
    None where all of them are. The maps of a tiny B0 double with one pixel, so that hardly a
    network lies between it and the target, and a quadratic of those beyond may have B0 itself
    there: then it is powers through B0, which always grow.
    """
    for factor in NEAR:
        for which in (grown, np.ones_like(grown)):
            near = which & (np.abs(np.log(ratios / ratio)) <= np.log(factor))
            features, logs = quadratic_features(realised[near]), np.log(ratios[near])
            # Of an axis that cannot move nothing is known, and nothing is needed.
            known = np.abs(features).max(0, initial=0.0) > 1e-9
            if not near.any() or np.linalg.matrix_rank(features) < known.sum():
                continue
            # The nearer to the target, the more it matters.
            roots = np.exp(-0.25 * (np.log(ratios[near] / ratio) / np.log(1.25)) ** 2)
            found = np.linalg.lstsq(features * roots[:, None], logs * roots, rcond=None)[0]
            if found[0] > np.log(ratio) / 2:
                found = np.zeros_like(found)
                found[1:4] = nnls(features[:, 1:4] * roots[:, None], logs * roots)[0]
            squares = (roots * (logs - features @ found)) ** 2
            return found, float(np.sqrt(squares.sum() / (roots**2).sum()))
    return None


def _solve(contour: Contour) -> Floats:
    """(points, 3): for depths and resolutions the width that costs the target, and for
    resolutions at B0's own width the depth."""
    depths, sides = (np.linspace(0, contour.most[axis], STEPS) for axis in (0, 2))
    pairs = np.stack(np.meshgrid(depths, sides, indexing="ij"), -1).reshape(-1, 2)
    zeros = np.zeros(len(pairs))
    inner = _bisect(contour, np.column_stack([pairs[:, 0], zeros, pairs[:, 1]]), axis=1)
    edge = np.column_stack([np.zeros(STEPS), np.zeros(STEPS), sides])
    outer = _bisect(contour, edge, axis=0)
    last = np.column_stack([depths, np.zeros(STEPS), np.zeros(STEPS)])
    return np.vstack([inner, outer, _bisect(contour, last, axis=2)])


def _bisect(contour: Contour, start: Floats, axis: int) -> Floats:
    """The points moved along an axis from 0 until they cost the target; those that can."""
    low, high = start.copy(), start.copy()
    high[:, axis] = contour.most[axis]
    possible = (contour.cost(low) <= contour.ratio) & (contour.cost(high) >= contour.ratio)
    low, high = low[possible], high[possible]
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        below = contour.cost(middle) < contour.ratio
        low[below], high[~below] = middle[below], middle[~below]
    return high
