"""Budgets met before anything is trained: widths solved for an exact cost.

A shape (kernels, expansions, repeats, relative widths) is sampled; a global width multiplier is
solved so that the network costs what the budget says. So a search at one budget compares shapes
alone, as MnasNet and EfficientNet compare networks "at 400M multiply-adds", and no evaluation is
spent on a network that is too large or needlessly small.
"""

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from blocks.arch import ArchSpec
from blocks.console import millions
from blocks.cost import ArchColumns, CostColumns
from blocks.rounding import round_column

MULTIPLIERS: Final = (1 / 32, 32.0)
"""Width multipliers that are looked at."""
HALVINGS: Final = 14
"""Of the logarithm of that range: steps of 0.04%, finer than any rounding of channels."""
MOST_HEAD_CHANGE: Final = 0.5
"""By which share of its width the head may make up for what rounding left over."""
NUDGES: Final = 4
"""Channel steps that other layers may be widened by, where the head was not enough."""
MOST_MOVED: Final = 3
"""Layers that may at last be a step wider or narrower at once."""
DEPTHS: Final = (1.0, 1.5, 2.0, 3.0, 2 / 3, 1 / 2, 1 / 3)
"""Factors of all repeats that `solve=width_depth` looks at."""
SOLVE: Final = ("width", "width_depth")
METRICS: Final = ("macs", "params", "activations")

_Cost = Callable[[ArchColumns], NDArray[np.int64]]
_Mask = NDArray[np.bool_]
_Move = Sequence[tuple[int, int]]  # (layer, the stem being the last; channel steps) at once


@dataclass(frozen=True)
class Widths:
    """Channels of a network's stem, stages and head."""

    stem: int
    channels: tuple[int, ...]
    head: int


@dataclass(frozen=True)
class Budget:
    """What a candidate may cost: at most `most`, or `target` within ± `tolerance`.

    `metric` is a field of `blocks.cost.Cost`; `solve` says what meets a target: the width of
    all layers, or that and the repeats of all stages.
    """

    metric: str
    most: int
    target: int | None = None
    tolerance: float = 0.02
    solve: str = "width"
    rounding: str = "paper"

    def __str__(self) -> str:
        if self.target is None:
            return f"{millions(self.most)} {self.metric}"
        share = f"{100 * self.tolerance:.3g}%"
        return f"{millions(self.target)} {self.metric} ± {share}, {self.solve} solved"

    @property
    def limits(self) -> tuple[float, float]:
        """Least and most of the metric that a candidate may have."""
        if self.target is None:
            return 0.0, float(self.most)
        return self.target * (1 - self.tolerance), self.target * (1 + self.tolerance)

    def excess(self, cost: Any) -> Any:
        """How far outside a cost is, as a share: above 0 it is infeasible. Numbers or columns."""
        value = getattr(cost, self.metric)
        if self.target is None:
            return value / self.most - 1.0
        return np.abs(value / self.target - 1.0) - self.tolerance

    def fit(self, columns: ArchColumns, num_classes: int) -> tuple[ArchColumns, CostColumns]:
        """The networks as they are evaluated, and what they cost; `excess` says which may be.

        Without a target they are the shapes themselves. With one a shape that rounding keeps
        from it comes back as near as it could be brought.
        """
        if self.target is None:
            return columns, columns.count(num_classes)
        solved, multiplier = self._solve_width(columns, num_classes)
        if self.solve == "width_depth":
            solved = self._solve_depth(columns, solved, multiplier, num_classes)
        return solved, solved.count(num_classes)

    def widest(self, columns: ArchColumns, num_classes: int) -> "Widths":
        """Bounds of each layer's width in what `fit` makes of these shapes, and of all that cost
        more at the same width."""
        if self.target is not None:
            if self.solve == "width_depth":
                columns = replace(columns, repeats=deepened(columns.repeats, min(DEPTHS)))
            _, multiplier = self._solve_width(columns, num_classes)
            columns = self._widened(columns, multiplier)
            more = self._step * (NUDGES + 1)  # each round of nudges, and the last moves
            columns = replace(
                columns,
                stem=columns.stem + more,
                channels=columns.channels + more,
                head=np.floor(columns.head * (1 + MOST_HEAD_CHANGE)).astype(np.int64),
            )
        return Widths(
            int(columns.stem.max()),
            tuple(int(width) for width in columns.channels.max(0)),
            int(columns.head.max()),
        )

    def _solve_depth(
        self,
        columns: ArchColumns,
        solved: ArchColumns,
        multiplier: NDArray[np.float64],
        num_classes: int,
    ) -> ArchColumns:
        """Of several depths the one whose width needs the least change."""
        best = np.abs(np.log(multiplier)) + 100.0 * self._misses(solved, num_classes)
        for factor in DEPTHS[1:]:
            other, other_multiplier = self._solve_width(
                replace(columns, repeats=deepened(columns.repeats, factor)), num_classes
            )
            score = np.abs(np.log(other_multiplier)) + 100.0 * self._misses(other, num_classes)
            solved = _where(score < best, other, solved)
            best = np.minimum(score, best)
        return solved

    def _misses(self, columns: ArchColumns, num_classes: int) -> _Mask:
        outside: _Mask = self.excess(columns.count(num_classes)) > 0
        return outside

    def _solve_width(
        self, columns: ArchColumns, num_classes: int
    ) -> tuple[ArchColumns, NDArray[np.float64]]:
        """The largest widths within the upper limit, and their multiplier.

        Rounding makes cost a staircase of the multiplier, of which a step may be higher than the
        tolerance: what is left over then goes to the head, which costs least a channel, and at
        last to single layers.
        """

        def cost(networks: ArchColumns) -> NDArray[np.int64]:
            value: NDArray[np.int64] = getattr(networks.count(num_classes), self.metric)
            return value

        least, most = self.limits
        low = np.full(len(columns), np.log(MULTIPLIERS[0]))
        high = np.full(len(columns), np.log(MULTIPLIERS[1]))
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            over = cost(self._widened(columns, np.exp(middle))) > most
            low, high = np.where(over, low, middle), np.where(over, middle, high)
        solved = self._widened(columns, np.exp(low))
        widest = np.floor(solved.head * (1 + MOST_HEAD_CHANGE)).astype(np.int64)
        for round_number in range(NUDGES + 1):
            short = np.flatnonzero(cost(solved) < least)
            if not len(short):
                return solved, np.exp(low)
            some = self._fill_head(solved.take(short), widest[short], cost)
            if round_number < NUDGES:
                some = _where(cost(some) < least, self._nudge(some, cost), some)
            solved = _put(solved, short, some)
        for move in _moves(columns.channels.shape[1] + 1):
            short = np.flatnonzero(cost(solved) < least)
            if not len(short):
                break
            some = solved.take(short)
            moved, possible = self._moved(some, move)
            value = cost(moved)
            solved = _put(
                solved, short, _where(possible & (least <= value) & (value <= most), moved, some)
            )
        return solved, np.exp(low)

    def _widened(self, columns: ArchColumns, multiplier: NDArray[np.float64]) -> ArchColumns:
        return replace(
            columns,
            stem=round_column(self.rounding, columns.stem * multiplier),
            channels=round_column(self.rounding, columns.channels * multiplier[:, None]),
            head=np.where(
                columns.head > 0, round_column(self.rounding, columns.head * multiplier), 0
            ),
        )

    def _fill_head(
        self, columns: ArchColumns, widest: NDArray[np.int64], cost: _Cost
    ) -> ArchColumns:
        """The head wider, `widest` at most, by what is missing to the target."""
        assert self.target is not None
        step = self._step
        now = cost(columns)
        each = np.maximum(1, cost(replace(columns, head=columns.head + step)) - now)
        steps = np.rint((self.target - now) / each)
        room = np.maximum(0, (widest - columns.head) // step)
        head = columns.head + step * np.clip(steps, 0, room).astype(np.int64)
        return replace(columns, head=np.where(columns.head > 0, head, 0))

    def _nudge(self, columns: ArchColumns, cost: _Cost) -> ArchColumns:
        """The one layer a step wider that comes nearest to the target from below."""
        most = self.limits[1]
        best, best_cost = columns, cost(columns)
        for layer in range(columns.channels.shape[1] + 1):
            wider, _ = self._moved(columns, ((layer, 1),))
            value = cost(wider)
            better = (value <= most) & (value > best_cost)
            best = _where(better, wider, best)
            best_cost = np.where(better, value, best_cost)
        return best

    def _moved(self, columns: ArchColumns, move: _Move) -> tuple[ArchColumns, _Mask]:
        """Some layers wider or narrower by steps, and where that leaves every layer one."""
        widths = np.column_stack([columns.channels, columns.stem])
        for layer, steps in move:
            widths[:, layer] += steps * self._step
        possible = np.all(widths >= self._step, axis=1)
        widths = np.maximum(widths, self._step)
        return replace(columns, channels=widths[:, :-1], stem=widths[:, -1]), np.asarray(possible)

    @property
    def _step(self) -> int:
        return 1 if self.rounding == "floor" else 8


def deepened(repeats: NDArray[np.int64], factor: float) -> NDArray[np.int64]:
    """Repeats times a factor, rounded up as EfficientNet rounds depths."""
    rounded: NDArray[np.int64] = np.maximum(1, np.ceil(repeats * factor - 1e-9)).astype(np.int64)
    return rounded


def with_widths(arch: ArchSpec, columns: ArchColumns, row: int, skip: Sequence[bool]) -> ArchSpec:
    """`arch` with the stem, head, channels and repeats of one row of columns.

    `skip` says of each stage whether it keeps its shortcuts, which other widths may have made
    possible or not.
    """
    stages = []
    entering = int(columns.stem[row])
    for position, stage in enumerate(arch.stages):
        channels, repeats = (
            int(columns.channels[row, position]),
            int(columns.repeats[row, position]),
        )
        has_shortcut = repeats > 1 or (stage.stride == 1 and entering == channels)
        stages.append(
            # Without a shortcut to drop, with and without one are the same network.
            replace(
                stage, channels=channels, repeats=repeats, skip=skip[position] or not has_shortcut
            )
        )
        entering = channels
    return replace(
        arch, stem=int(columns.stem[row]), head=int(columns.head[row]), stages=tuple(stages)
    )


def _moves(layers: int) -> Iterator[_Move]:
    """All ways to change up to `MOST_MOVED` layers by a step, the least first."""
    for number in range(2, MOST_MOVED + 1):
        for chosen in itertools.combinations(range(layers), number):
            for steps in itertools.product((1, -1), repeat=number):
                yield tuple(zip(chosen, steps, strict=True))


def _where(mask: _Mask, left: ArchColumns, right: ArchColumns) -> ArchColumns:
    return _put(right, np.flatnonzero(mask), left.take(np.flatnonzero(mask)))


def _put(columns: ArchColumns, rows: NDArray[np.intp], values: ArchColumns) -> ArchColumns:
    changed = {}
    for name in ("stem", "head", "channels", "repeats"):
        column = getattr(columns, name).copy()
        column[rows] = getattr(values, name)
        changed[name] = column
    return replace(columns, **changed)
