"""The networks around a rule's point, counted, and the nearest to the rule that costs a target."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Final

import numpy as np

from blocks.arch import ArchSpec
from blocks.cost import Cost, CostColumns, count
from scaling.compound import ScalingError, scale, scale_repeats
from scaling.neighbours import Integers, Neighbours, Reals
from scaling.rule_kinds import Multipliers, Rule
from scaling.target import Solution, Target


@dataclass(frozen=True)
class Reach:
    """How far from the rule's point to look: widths to e^±`width`, so many depths and sizes."""

    width: float
    depths: int
    sizes: int


REACHES: Final = (Reach(0.3, 7, 9), Reach(1.0, 25, 41))
_WINDOW: Final = np.arange(-5, 6)
"""Around the width that costs the target: neighbours are some 0.5% of the cost apart."""
_DUST: Final = 1e-9
_ROUNDED: Final = 0.05
"""By how much (ln) rounding may take from an axis that does not grow."""
_ASTRAY: Final = 0.25
"""A residual that is no matter of rounding any more."""


@dataclass(frozen=True)
class _Centre:
    """Where a rule costs a target: its multipliers, their logs, the rule's direction there."""

    at: Multipliers
    point: Reals
    direction: Reals


@dataclass(frozen=True)
class _Pairs:
    """Every depth with every size, of all targets: `first` and `last` are rows of the widths."""

    target: Integers
    repeats: Integers
    depth: Reals  # ln of the realised depth
    factor: Reals
    size: Integers
    first: Integers
    last: Integers


class RuleSearch:
    """A baseline and a rule, and the counting of the networks around it."""

    def __init__(
        self,
        baseline: ArchSpec,
        base: Cost,
        rule: Rule,
        num_classes: int,
        rounding: str,
        keep: bool,
    ) -> None:
        self.base, self.rule, self.keep = base, rule, keep
        self.near = Neighbours(baseline, num_classes, rounding)
        self.grid: tuple[Reals, CostColumns] | None = None

    def solve(self, targets: Sequence[Target], reach: Reach) -> list[Solution]:
        """The best of the networks within `reach` of the rule, for every target."""
        centres = [self.centre(target) for target in targets]
        tables = [self.near.widths(centre.at.width, reach.width) for centre in centres]
        starts = np.cumsum([0, *(len(table.factor) for table in tables)])
        channels = np.concatenate([table.channels for table in tables])
        factors = np.concatenate([table.factor for table in tables])
        pairs = self.pairs(centres, starts, reach)
        goals = np.array([target.value for target in targets])[pairs.target]
        metric = targets[0].metric
        # The narrowest width that costs the target, of every pair: cost grows with width.
        low, high = pairs.first.copy(), pairs.last.copy()
        while (low < high).any():
            middle = (low + high) // 2
            enough = getattr(self.count(pairs, channels[middle]), metric) >= goals
            low, high = (
                np.where(enough | (low >= high), low, middle + 1),
                np.where(enough, middle, high),
            )
        width = np.clip(low[:, None] + _WINDOW, pairs.first[:, None], pairs.last[:, None]).ravel()
        many = _take(pairs, np.repeat(np.arange(len(low)), len(_WINDOW)))
        cost = np.asarray(getattr(self.count(many, channels[width]), metric), dtype=np.float64)
        ratio = cost / np.repeat(goals, len(_WINDOW))
        shape = np.stack(
            [
                many.depth,
                self.near.log_width(channels[width]),
                np.log(many.size / self.near.baseline.resolution),
            ],
            axis=1,
        )
        waste = self.near.waste(many.size)
        return [
            self.best(target, centre, rows, ratio, shape, waste, many, factors[width])
            for number, (target, centre) in enumerate(zip(targets, centres, strict=True))
            for rows in [np.flatnonzero(many.target == number)]
        ]

    def best(
        self,
        target: Target,
        centre: _Centre,
        rows: Integers,
        ratio: Reals,
        shape: Reals,
        waste: Reals,
        pairs: _Pairs,
        factors: Reals,
    ) -> Solution:
        """Of the networks at `rows` the nearest to the rule that meets the target.

        Nearest in ln depth, ln width, ln resolution and twice ln cost, with half of what a size
        leaves of the last map unused (`waste`); where none meets the target the nearest in cost.
        If the baseline's axes are to be kept, one with less depth, width or resolution is taken
        only where the rule says so, or no other meets the target; then `instead` is the nearest in
        cost of the others.
        """
        offset = shape[rows] - centre.point
        along = offset @ centre.direction
        deviation = np.linalg.norm(offset - along[:, None] * centre.direction, axis=1)
        miss = np.abs(ratio[rows] - 1)
        distance = np.sqrt(deviation**2 + (2 * np.log(ratio[rows])) ** 2 + (waste[rows] / 2) ** 2)
        met = miss <= target.tolerance
        # An axis that the rule leaves as it is rounds up or down.
        floor = np.where(centre.point > _DUST, -_DUST, -_ROUNDED)
        floor[(centre.point < -_DUST) | (not self.keep)] = -np.inf
        kept = np.all(shape[rows] >= floor, axis=1)
        if met.any():
            allowed = met & kept if (met & kept).any() else met
            chosen = int(np.argmin(np.where(allowed, distance, np.inf)))
        else:
            chosen = int(np.argmin(miss))

        def solution(number: int) -> Solution:
            return self.solution(
                target, centre, shape[rows[number]], pairs, factors, int(rows[number]),
                float(deviation[number]),
            )  # fmt: skip

        if kept[chosen]:
            return solution(chosen)
        other = solution(int(np.argmin(np.where(kept, miss, np.inf)))) if kept.any() else None
        return replace(solution(chosen), less=True, instead=other)

    def solution(
        self,
        target: Target,
        centre: _Centre,
        shape: Reals,
        pairs: _Pairs,
        factors: Reals,
        row: int,
        deviation: float,
    ) -> Solution:
        """The network at a row, whose logs over the baseline are `shape`."""
        arch = scale(
            self.near.baseline,
            float(pairs.factor[row]),
            float(factors[row]),
            int(pairs.size[row]),
            self.near.rounding,
            late_depth=centre.at.late_depth,
            repeats="nearest",
        )
        cost = count(arch, self.near.num_classes)
        residual = getattr(cost, target.metric) / target.value - 1
        return Solution(
            arch=arch,
            cost=cost,
            depth=sum(stage.repeats for stage in arch.stages) / int(self.near.repeats.sum()),
            width=math.exp(shape[1]),
            resolution=arch.resolution / self.near.baseline.resolution,
            residual=residual,
            deviation=deviation,
            depth_multiplier=float(pairs.factor[row]),
            width_multiplier=float(factors[row]),
            late_depth=centre.at.late_depth,
        )

    def check(self, target: Target, found: Solution) -> None:
        """Refuse what no rounding explains.

        Raises:
            ScalingError: the nearest network is far off the target.
        """
        if abs(found.residual) <= _ASTRAY:
            return
        if found.arch.resolution <= self.near.least_size + 1 < self.near.baseline.resolution:
            raise ScalingError(
                f"rule {self.rule.name} at {target.value:.4g} {target.metric} asks for fewer "
                f"than {self.near.least_size} pixels, which the network's strides need, or the map "
                "collapses; expected a larger target or another rule"
            )
        raise ScalingError(
            f"rule {self.rule.name} makes no network of {target.value:.4g} {target.metric} of "
            f"this baseline; the nearest has {getattr(found.cost, target.metric):.4g}"
        )

    def centre(self, target: Target) -> _Centre:
        """The rule's point that costs `target`, by the counted costs along the whole rule.

        Raises:
            ScalingError: the rule never costs so much.
        """
        logs, columns = self.grid = self.grid or self.along()
        # Rounding makes stairs, and here and there a step down.
        costs = np.maximum.accumulate(getattr(columns, target.metric))
        if target.value > costs[-1]:
            raise ScalingError(
                f"rule {self.rule.name} makes no network of {target.value:.4g} {target.metric} of "
                f"this baseline: {target.metric} grow too slowly by it"
            )
        # What shrinks no further (8 channels, one block) costs the same for long.
        flat = max(0, int(np.searchsorted(costs, costs[0], side="right")) - 1)
        log = float(np.interp(math.log(target.value), np.log(costs[flat:]), logs[flat:]))
        at, ahead = self.rule.at(math.exp(log)), self.rule.at(math.exp(log + 0.01))
        step = _logs(ahead) - _logs(at)
        return _Centre(at, _logs(at), step / np.linalg.norm(step))

    def along(self) -> tuple[Reals, CostColumns]:
        """Logs of cost ratios, and what the rule's networks of these ratios cost."""
        most = min(14.0, math.log(1e16 / self.base.macs))
        logs = np.arange(-9.0, most, 0.03)
        points = [self.rule.at(math.exp(log)) for log in logs]
        depths = [
            scale_repeats(self.near.repeats.tolist(), point.depth, point.late_depth, "nearest")
            for point in points
        ]
        sizes = self.near.baseline.resolution * np.array([point.resolution for point in points])
        even = np.maximum(self.near.least_size, np.rint(sizes / 2).astype(np.int64) * 2)
        channels = self.near.rounded(np.array([point.width for point in points]))
        return logs, self.near.count(np.array(depths), even, channels)

    def pairs(self, centres: Sequence[_Centre], starts: Integers, reach: Reach) -> _Pairs:
        """Every depth with every size within `reach`, of all targets."""
        rows = []
        repeats = []
        for number, centre in enumerate(centres):
            sizes = self.near.sizes(centre.at, reach.sizes)
            for log, factor, blocks in self.near.depths(centre.at, reach.depths):
                for size in sizes:
                    rows.append((number, size, starts[number], starts[number + 1] - 1, log, factor))
                    repeats.append(blocks)
        target, size, first, last, log, factor = np.array(rows).T
        whole = [column.astype(np.int64) for column in (target, size, first, last)]
        return _Pairs(
            target=whole[0],
            repeats=np.array(repeats),
            depth=log,
            factor=factor,
            size=whole[1],
            first=whole[2],
            last=whole[3],
        )

    def count(self, pairs: _Pairs, channels: Integers) -> CostColumns:
        """The cost of every pair with these channels."""
        return self.near.count(pairs.repeats, pairs.size, channels)


def _take(pairs: _Pairs, rows: Integers) -> _Pairs:
    return _Pairs(*(getattr(pairs, field.name)[rows] for field in fields(pairs)))


def _logs(at: Multipliers) -> Reals:
    return np.log([at.depth, at.width, at.resolution])
