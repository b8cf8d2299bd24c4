"""The networks around a point: which depths, widths and sizes there are, and what they cost.

Repeats, channels and pixels are whole, so only some depths and widths are different networks. All
of them are counted as columns, many thousands at a time.
"""

import itertools
import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blocks.arch import ArchSpec, Size
from blocks.cost import ArchColumns, CostColumns
from blocks.errors import ArchError
from blocks.rounding import round_column
from scaling.compound import ScalingError, depth_steps, late_stages, scale, scale_repeats
from scaling.rule_kinds import Multipliers

Reals = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Widths:
    """The different channels that the widths of an interval make, from narrow to wide.

    `channels` is (widths, 3 + stages): stem, head, head_hidden, and every stage's. `factor` is a
    width that makes them.
    """

    channels: Integers
    factor: Reals


class Neighbours:
    """A baseline, and the counting of the networks that scaling makes of it."""

    def __init__(self, baseline: ArchSpec, num_classes: int, rounding: str) -> None:
        self.baseline, self.num_classes, self.rounding = baseline, num_classes, rounding
        self.columns = ArchColumns.from_archs([baseline])
        self.repeats = np.array([stage.repeats for stage in baseline.stages])
        stages = [stage.channels for stage in baseline.stages]
        self.channels = np.array([baseline.stem, baseline.head, baseline.head_hidden, *stages])
        weights = np.array([1, min(baseline.head, 1), 0, *self.repeats], dtype=np.float64)
        self.weights = weights / weights.sum()
        self.least_size, self.total_stride = baseline.least_resolution, baseline.total_stride

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

    def widths(self, width: float, reach: float) -> Widths:
        """The different channels between e^−reach and e^reach of `width`."""
        logs = math.log(width) + np.linspace(-reach, reach, 1 + round(2000 * reach))
        channels = self.rounded(np.exp(logs))
        first = np.flatnonzero(np.r_[True, (np.diff(channels, axis=0) != 0).any(1)])
        last = np.r_[first[1:], len(logs)] - 1
        factors = np.exp((logs[first] + logs[last]) / 2)
        table = Widths(channels[first], factors)
        if self.baseline.norm_group_size or any(s.groups > 1 for s in self.baseline.stages):
            fits = np.array([self.fits(factor) for factor in factors])
            if not fits.any():
                raise ScalingError(
                    f"no width near {width:.2f} keeps the groups of {self.baseline} whole"
                )
            table = Widths(table.channels[fits], table.factor[fits])
        return table

    def fits(self, width: float) -> bool:
        """Whether the groups of the baseline divide its channels at this width."""
        try:
            scale(self.baseline, width=float(width), rounding=self.rounding)
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
        image, stride = self.baseline.image, self.total_stride
        columns = self.columns.take(np.zeros(len(sizes), dtype=np.int64)).at_heights(sizes, image)

        def over(size: Size) -> Any:
            covered = size.strided(stride)
            return np.log(covered.area * stride**2 / size.area) / 2

        wasted: Reals = np.maximum(0.0, over(columns.image) - over(image))
        return wasted

    def count(self, repeats: Integers, sizes: Integers, channels: Integers) -> CostColumns:
        """The cost of the baseline with these repeats, sizes and channels, row by row."""
        columns = replace(
            self.columns.take(np.zeros(len(sizes), dtype=np.int64)),
            stem=channels[:, 0],
            head=channels[:, 1],
            head_hidden=channels[:, 2],
            channels=channels[:, 3:],
            repeats=repeats,
        ).at_heights(sizes, self.baseline.image)
        return columns.count(self.num_classes)
