"""Networks that cost what was asked: the target solved on the rounded, counted architecture.

A rule says how deep, wide and large a network should be; rounding makes whole repeats, channels
and pixels of it, and these decide what it really costs (EfficientNet-B0 by the paper's triple and
rounding: 2.57 times, where twice was meant). Here the networks around the rule's point are
counted, and of those that meet the target the nearest to the rule is taken.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from blocks.arch import ArchSpec
from blocks.cost import ArchColumns, Cost, CostColumns, count
from blocks.errors import ArchError
from blocks.rounding import round_column
from scaling.compound import ScalingError, depth_steps, late_stages, scale, scale_repeats
from scaling.rules import Multipliers, Rule

METRICS: Final = ("macs", "params", "activations")
MOST: Final = 10**12
"""Of a target: twice EfficientNet-L2's macs. What is larger could not be built and checked."""

Reals = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Target:
    """What a network is to cost: `value` of `metric`, within ±`tolerance` of it.

    Raises:
        ScalingError: an unknown metric, or a value or tolerance that cannot be.
    """

    metric: str
    value: float
    tolerance: float = 0.02

    def __post_init__(self) -> None:
        if self.metric not in METRICS:
            raise ScalingError(f"metric={self.metric} is unknown; expected {', '.join(METRICS)}")
        if not (math.isfinite(self.value) and self.value >= 1):
            raise ScalingError(
                f"a target of {self.value:g} {self.metric} is none; expected 1 or more"
            )
        if self.value > MOST:
            raise ScalingError(
                f"a target of {self.value:.3g} {self.metric} is too large; expected at most "
                f"{MOST:.0e}: fewer or smaller members"
            )
        if not 0 <= self.tolerance < 1:
            raise ScalingError(f"tolerance={self.tolerance} is not from 0 to below 1")


@dataclass(frozen=True, slots=True)
class Solution:
    """A network near a rule that costs about what was asked.

    `depth`, `width` and `resolution` are what it has relative to its baseline: blocks, the
    geometric mean of the channels (each block's once, stem and head), pixels. `residual` is
    cost/target − 1, `deviation` the distance of ln depth, ln width and ln resolution from the
    rule's line. `scale(baseline, width_multiplier, depth_multiplier, arch.resolution, rounding,
    late_depth=late_depth, repeats="nearest")` is `arch`, unless it is the baseline itself.
    """

    arch: ArchSpec
    cost: Cost
    depth: float
    width: float
    resolution: float
    residual: float
    deviation: float
    depth_multiplier: float = 1.0
    width_multiplier: float = 1.0
    late_depth: float = 1.0


def solve(
    baseline: ArchSpec, rule: Rule, target: Target, num_classes: int, rounding: str = "paper"
) -> Solution:
    """The network near `rule` that costs `target`, or the nearest to it that rounding allows.

    Raises:
        ScalingError: `rule` never reaches the target, or only where no map is left.
    """
    (solution,) = solve_family(baseline, rule, [target], num_classes, rounding)
    return solution


def solve_family(
    baseline: ArchSpec,
    rule: Rule,
    targets: Sequence[Target],
    num_classes: int,
    rounding: str = "paper",
) -> list[Solution]:
    """`solve` of several targets of one metric, counted together.

    Raises:
        ScalingError: as `solve`; or targets of more than one metric.
    """
    base = count(baseline, num_classes)
    if len({target.metric for target in targets}) > 1:
        raise ScalingError("the targets are of more than one metric; expected one")
    found: dict[int, Solution] = {}
    for number, target in enumerate(targets):
        if target.value == getattr(base, target.metric):
            found[number] = Solution(baseline, base, 1.0, 1.0, 1.0, 0.0, 0.0)
    search = _Search(baseline, base, rule, num_classes, rounding)
    for reach in _REACHES:
        # Those that the nearer networks did not bring within their tolerance.
        left = [
            number
            for number, target in enumerate(targets)
            if number not in found or abs(found[number].residual) > target.tolerance
        ]
        if not left:
            break
        tried = search.solve([targets[number] for number in left], reach)
        for number, solution in zip(left, tried, strict=True):
            if number not in found or abs(solution.residual) < abs(found[number].residual):
                found[number] = solution
    for number, target in enumerate(targets):
        search.check(target, found[number])
    return [found[number] for number in range(len(targets))]


@dataclass(frozen=True)
class _Reach:
    """How far from the rule's point to look: widths to e^±`width`, so many depths and sizes."""

    width: float
    depths: int
    sizes: int


_REACHES: Final = (_Reach(0.3, 7, 9), _Reach(1.0, 25, 41))
_WINDOW: Final = np.arange(-5, 6)
"""Around the width that costs the target: neighbours are some 0.5% of the cost apart."""
_ASTRAY: Final = 0.25
"""A residual that is no matter of rounding any more."""


@dataclass(frozen=True)
class _Centre:
    """Where a rule costs a target: its multipliers, their logs, the rule's direction there."""

    at: Multipliers
    point: Reals
    direction: Reals


@dataclass(frozen=True)
class _Widths:
    """The different channels that the widths of an interval make, from narrow to wide.

    `channels` is (widths, 3 + stages): stem, head, head_hidden, and every stage's. `factor` is a
    width that makes them.
    """

    channels: Integers
    factor: Reals


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


class _Search:
    """A baseline and a rule, and the counting of the networks around it."""

    def __init__(
        self, baseline: ArchSpec, base: Cost, rule: Rule, num_classes: int, rounding: str
    ) -> None:
        self.baseline, self.base, self.rule = baseline, base, rule
        self.num_classes, self.rounding = num_classes, rounding
        self.columns = ArchColumns.from_archs([baseline])
        self.repeats = np.array([stage.repeats for stage in baseline.stages])
        stages = [stage.channels for stage in baseline.stages]
        self.channels = np.array([baseline.stem, baseline.head, baseline.head_hidden, *stages])
        weights = np.array([1, min(baseline.head, 1), 0, *self.repeats], dtype=np.float64)
        self.weights = weights / weights.sum()
        self.least_size, self.total_stride = baseline.least_resolution, baseline.total_stride
        self.grid: tuple[Reals, CostColumns] | None = None

    def solve(self, targets: Sequence[Target], reach: _Reach) -> list[Solution]:
        """The best of the networks within `reach` of the rule, for every target."""
        centres = [self.centre(target) for target in targets]
        tables = [self.widths(centre.at.width, reach.width) for centre in centres]
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
                self.log_width(channels[width]),
                np.log(many.size / self.baseline.resolution),
            ],
            axis=1,
        )
        waste = self.waste(many.size)
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
        """
        offset = shape[rows] - centre.point
        along = offset @ centre.direction
        deviation = np.linalg.norm(offset - along[:, None] * centre.direction, axis=1)
        miss = np.abs(ratio[rows] - 1)
        distance = np.sqrt(deviation**2 + (2 * np.log(ratio[rows])) ** 2 + (waste[rows] / 2) ** 2)
        met = miss <= target.tolerance
        chosen = np.argmin(np.where(met, distance, np.inf)) if met.any() else np.argmin(miss)
        row = rows[chosen]
        arch = scale(
            self.baseline,
            float(factors[row]),
            float(pairs.factor[row]),
            int(pairs.size[row]),
            self.rounding,
            late_depth=centre.at.late_depth,
            repeats="nearest",
        )
        cost = count(arch, self.num_classes)
        residual = getattr(cost, target.metric) / target.value - 1
        return Solution(
            arch=arch,
            cost=cost,
            depth=sum(stage.repeats for stage in arch.stages) / int(self.repeats.sum()),
            width=math.exp(shape[row, 1]),
            resolution=arch.resolution / self.baseline.resolution,
            residual=residual,
            deviation=float(deviation[chosen]),
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
        if found.arch.resolution <= self.least_size + 1 < self.baseline.resolution:
            raise ScalingError(
                f"rule {self.rule.name} at {target.value:.4g} {target.metric} asks for fewer "
                f"than {self.least_size} pixels, which the network's strides need, or the map "
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
            scale_repeats(self.repeats.tolist(), point.depth, point.late_depth, "nearest")
            for point in points
        ]
        sizes = self.baseline.resolution * np.array([point.resolution for point in points])
        even = np.maximum(self.least_size, np.rint(sizes / 2).astype(np.int64) * 2)
        channels = self.rounded(np.array([point.width for point in points]))
        return logs, self.count_rows(np.array(depths), even, channels)

    def rounded(self, widths: Reals) -> Integers:
        """Stem, head, head_hidden and stages at every width: (widths, 3 + stages)."""
        rounded = round_column(self.rounding, widths[:, None] * self.channels)
        return np.where(self.channels > 0, rounded, 0)

    def log_width(self, channels: Integers) -> Reals:
        """ln of the mean growth of rows of channels, by `weights`."""
        present = self.weights > 0
        growth = np.log(channels[:, present] / self.channels[present])
        mean: Reals = growth @ self.weights[present]
        return mean

    def widths(self, width: float, reach: float) -> _Widths:
        """The different channels between e^−reach and e^reach of `width`."""
        logs = math.log(width) + np.linspace(-reach, reach, 1 + round(2000 * reach))
        channels = self.rounded(np.exp(logs))
        first = np.flatnonzero(np.r_[True, (np.diff(channels, axis=0) != 0).any(1)])
        last = np.r_[first[1:], len(logs)] - 1
        factors = np.exp((logs[first] + logs[last]) / 2)
        table = _Widths(channels[first], factors)
        if self.baseline.norm_group_size or any(s.groups > 1 for s in self.baseline.stages):
            fits = np.array([self.fits(factor) for factor in factors])
            if not fits.any():
                raise ScalingError(
                    f"no width near {width:.2f} keeps the groups of {self.baseline} whole"
                )
            table = _Widths(table.channels[fits], table.factor[fits])
        return table

    def fits(self, width: float) -> bool:
        """Whether the groups of the baseline divide its channels at this width."""
        try:
            scale(self.baseline, float(width), 1.0, self.baseline.resolution, self.rounding)
        except ArchError:
            return False
        return True

    def depths(self, at: Multipliers, number: int) -> list[tuple[float, float, tuple[int, ...]]]:
        """The `number` depths nearest to the rule's: ln realised, a factor, the stages' repeats."""
        few: list[int] = self.repeats.tolist()
        early = len(few) - late_stages(len(few))
        # What one unit of depth is in blocks, which need not be whole.
        unit = sum(few[:early]) + at.late_depth * sum(few[early:])
        far = math.exp(min(1.5, (number + 4) / min(unit, unit * at.depth)))
        low, high = at.depth / far, at.depth * far
        steps = [low, *depth_steps(few, at.late_depth, low, high), high]
        found = []
        for below, above in itertools.pairwise(steps):
            if above - below > 1e-9:  # two stages may step up at once
                factor = math.sqrt(below * above)
                repeats = scale_repeats(few, factor, at.late_depth, "nearest")
                found.append((math.log(sum(repeats) / unit), factor, repeats))
        found.sort(key=lambda depth: abs(depth[0] - math.log(at.depth)))
        return found[:number]

    def sizes(self, at: Multipliers, number: int) -> list[int]:
        """Useful sizes near the rule's: even ones, multiples of the total stride, the baseline's.

        An odd size costs what the next even one does, and has fewer pixels (a stride of 2 on
        either leaves the same map).
        """
        wanted = self.baseline.resolution * at.resolution
        even = 2 * (np.arange(number) - number // 2) + 2 * round(wanted / 2)
        whole = self.total_stride * (np.arange(5) - 2 + round(wanted / self.total_stride))
        own = self.baseline.resolution
        near = [int(size) for size in whole if abs(math.log(max(int(size), 1) / wanted)) < 0.15]
        near += [own] if abs(math.log(own / wanted)) < 0.15 else []
        return sorted({size for size in [*even.tolist(), *near] if size >= self.least_size})

    def waste(self, sizes: Integers) -> Reals:
        """By how much (ln) the last map reaches beyond the image, if more than the baseline's.

        At 226 pixels and a total stride of 32 the last map is 8×8, as at 256.
        """
        own = self.baseline.resolution
        over, base = (
            np.log(-(-np.asarray(side) // self.total_stride) * self.total_stride / side)
            for side in (sizes, own)
        )
        wasted: Reals = np.maximum(0.0, over - base)
        return wasted

    def pairs(self, centres: Sequence[_Centre], starts: Integers, reach: _Reach) -> _Pairs:
        """Every depth with every size within `reach`, of all targets."""
        rows = []
        repeats = []
        for number, centre in enumerate(centres):
            sizes = self.sizes(centre.at, reach.sizes)
            for log, factor, blocks in self.depths(centre.at, reach.depths):
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
        return self.count_rows(pairs.repeats, pairs.size, channels)

    def count_rows(self, repeats: Integers, sizes: Integers, channels: Integers) -> CostColumns:
        """The cost of the baseline with these repeats, sizes and channels, row by row."""
        columns = replace(
            self.columns.take(np.zeros(len(sizes), dtype=np.int64)),
            stem=channels[:, 0],
            head=channels[:, 1],
            head_hidden=channels[:, 2],
            channels=channels[:, 3:],
            repeats=repeats,
            resolution=sizes,
        )
        return columns.count(self.num_classes)


def _take(pairs: _Pairs, rows: Integers) -> _Pairs:
    return _Pairs(*(getattr(pairs, field.name)[rows] for field in fields(pairs)))


def _logs(at: Multipliers) -> Reals:
    return np.log([at.depth, at.width, at.resolution])
