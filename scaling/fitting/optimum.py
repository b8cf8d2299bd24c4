"""Where accuracy is highest at equal cost, and how surely, by the surfaces that remain possible."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from scaling.fitting.observations import Floats
from scaling.fitting.posterior import Posterior

_DUST: Final = 1e-9
"""Of accuracy: what sums in another order differ by."""
TIE: Final = 0.0005
"""Accuracy by which one surface has to set two ways to scale apart; below, each is half the better.
Of ways that are nearly the same, the chosen one would else always seem the better."""
ALIKE: Final = 0.0025
"""Accuracy within which two ways to scale are called as good as one another."""
CAUTION: Final = 0.5
"""Deviations of a gain over `REFERENCE` that are taken off it before the best is chosen. Of many
ways to scale that are nearly as good, the one that seems best seems better than it is."""
REFERENCE: Final = "paper"
"""The rival that is kept where little speaks for another way."""
Z95: Final = 1.96


@dataclass(frozen=True)
class Versus:
    """The optimum against a rival at equal cost: how much more accurate, and how surely.

    `difference` and `interval` (95%) are in accuracy; `probability` is that of being better, where
    ties (`TIE`) count half.
    """

    difference: float
    interval: tuple[float, float]
    probability: float

    @property
    def indistinguishable(self) -> bool:
        """Whether the interval leaves open that the rival is as good."""
        return self.interval[0] <= _DUST and self.interval[1] >= -_DUST

    @property
    def alike(self) -> bool:
        """Whether the interval says that the rival is as good, within `ALIKE`."""
        return self.indistinguishable and max(-self.interval[0], self.interval[1]) <= ALIKE

    def enough(self, networks: int) -> float:
        """About how many networks would tell the two apart, if the difference is what it seems and
        its error falls by the square root of their number; infinite where it seems to be none."""
        error = (self.interval[1] - self.interval[0]) / (2 * Z95)
        if abs(self.difference) < _DUST:
            return math.inf
        return networks * (Z95 * error / self.difference) ** 2


@dataclass(frozen=True)
class Optimum:
    """The chosen of the candidates, see `choose`, and how well the data tell it from others.

    `logs`: (3,). `expected`: (candidates,), accuracies. `intervals`: 95% intervals of each log.
    `region`: (candidates,), those that no 95% interval of the difference sets below the chosen.
    `seeming`: the candidate that seems best, chosen or not, against the paper's triple; None where
    that is no rival.
    """

    index: int
    logs: Floats
    expected: Floats
    intervals: Floats
    region: NDArray[np.bool_]
    versus: dict[str, Versus]
    seeming: Versus | None = None


def choose(surfaces: Floats, reference: Floats | None, caution: float = CAUTION) -> int:
    """(surfaces, points), and (surfaces,) of the reference → which point to take: that of the
    highest gain over the reference, less `caution` deviations of this gain.

    By accuracy alone where there is no reference.
    """
    if reference is None:
        return int(surfaces.mean(0).argmax())
    gain = surfaces - reference[:, None]
    return int((gain.mean(0) - caution * gain.std(0)).argmax())


def chance_of_better(ahead: Floats) -> Floats:
    """(surfaces, points), by how much accuracy one is ahead → (points,): the probability that it
    is better; a tie (`TIE`) counts half."""
    return np.asarray((ahead > TIE).mean(0) + (np.abs(ahead) <= TIE).mean(0) / 2)


def find_optimum(
    posterior: Posterior,
    candidates: Floats,
    rivals: Mapping[str, Floats],
    others: Floats | None = None,
    steps: Floats | None = None,
    caution: float = CAUTION,
) -> Optimum:
    """Which of `candidates` (points, 3) of equal cost to take; `rivals` (3,) each are compared
    with it. The paper's triple, where it is among them, is what it has to improve on, see `choose`.

    `others` (axes − 3,) are the logs of what else was varied, at which to look. `steps` (3,) are
    the logs of the least growth along each axis that a network can have: an interval that is a
    single point reaches so far, as nothing in between was seen.
    """
    extra = np.zeros(0) if others is None else others
    names = list(rivals)
    points = np.vstack([candidates, *(rivals[name] for name in names)])
    points = np.column_stack([points, np.tile(extra, (len(points), 1))])
    surfaces = posterior.predict(points)
    expected = surfaces.mean(0)
    known = surfaces[:, len(candidates) + names.index(REFERENCE)] if REFERENCE in rivals else None
    index = choose(surfaces[:, : len(candidates)], known, caution)
    winners = surfaces[:, : len(candidates)].argmax(1)
    intervals = np.quantile(candidates[winners], [0.025, 0.975], axis=0).T
    if steps is not None:
        single = intervals[:, 1] - intervals[:, 0] < _DUST
        intervals[single, 1] = np.minimum(
            intervals[single, 1] + steps[single], candidates.max(0)[single]
        )
    better = surfaces[:, [index]] - surfaces
    low = np.quantile(better[:, : len(candidates)], 0.025, axis=0)
    versus = {
        name: _against(better[:, number]) for number, name in enumerate(names, len(candidates))
    }
    best = int(np.argmax(expected[: len(candidates)]))
    return Optimum(
        index,
        candidates[index],
        expected[: len(candidates)],
        intervals,
        low <= _DUST,
        versus,
        None if known is None else _against(surfaces[:, best] - known),
    )


def _against(ahead: Floats) -> Versus:
    """(surfaces,), by how much accuracy one is ahead of another, summed up."""
    low, high = np.quantile(ahead, [0.025, 0.975])
    chance = float(chance_of_better(ahead[:, None])[0])
    return Versus(float(ahead.mean()), (float(low), float(high)), chance)
