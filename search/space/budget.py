"""Budgets met before anything is trained: widths solved for an exact cost.

A shape (kernels, expansions, repeats, relative widths) is sampled; a global width multiplier is
solved so that the network costs what the budget says. So a search at one budget compares shapes
alone, as MnasNet and EfficientNet compare networks "at 400M multiply-adds", and no evaluation is
spent on a network that is too large or needlessly small.
"""

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from blocks.arch import ArchSpec
from blocks.arch.walk import has_identity
from blocks.console import millions
from blocks.cost import ArchColumns, CostColumns
from blocks.latency.predict import Predictor, load_predictor
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
AT_ONCE: Final = 20_000
"""Networks that are costed together, where there are many."""
DEPTHS: Final = (1.0, 1.5, 2.0, 3.0, 2 / 3, 1 / 2, 1 / 3)
"""Factors of all repeats that `solve=width_depth` looks at."""
SOLVE: Final = ("width", "width_depth")
LATENCY: Final = "latency_ms"
METRICS: Final = ("macs", "params", "activations", LATENCY)

_Cost = Callable[[ArchColumns], NDArray[Any]]
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

    `metric` is a field of `blocks.cost.Cost`, or `latency_ms`, milliseconds a batch as predicted
    by `latency_table`, which is a target's alone; `solve` says what meets a target: the width of
    all layers, or that and the repeats of all stages. `act` is the activation of all networks.
    """

    metric: str
    most: int
    target: float | None = None
    tolerance: float = 0.02
    solve: str = "width"
    rounding: str = "paper"
    latency_table: Path | None = None
    act: str = "silu"

    def __str__(self) -> str:
        if self.target is None:
            return f"{millions(self.most)} {self.metric}"
        share = f"{100 * self.tolerance:.3g}%"
        return f"{self.say(self.target)} ± {share}, {self.solve} solved"

    def say(self, value: float) -> str:
        """A value of the metric, for people."""
        if self.predicted:
            return f"{value:.4g} ms predicted"
        return f"{millions(round(value))} {self.metric}"

    @property
    def predictor(self) -> Predictor | None:
        """Of the latency table; None where the budget is counted.

        Raises:
            LatencyError: the table cannot be read.
        """
        return None if self.latency_table is None else load_predictor(self.latency_table)

    @property
    def predicted(self) -> bool:
        """Whether the metric is a prediction, neither whole nor rising with every width."""
        return self.metric == LATENCY

    @property
    def limits(self) -> tuple[float, float]:
        """Least and most of the metric that a candidate may have."""
        if self.target is None:
            return 0.0, float(self.most)
        return self.target * (1 - self.tolerance), self.target * (1 + self.tolerance)

    def measure(
        self, columns: ArchColumns, num_classes: int, costs: CostColumns | None = None
    ) -> NDArray[Any]:
        """The metric of each network, (archs,): counted, or predicted milliseconds.

        `costs` are their counts, where they are known.
        """
        if self.predicted:
            assert self.predictor is not None
            return self.predictor.predict_columns(columns, num_classes, self.act)
        costs = columns.count(num_classes) if costs is None else costs
        counted: NDArray[np.int64] = getattr(costs, self.metric)
        return counted

    def excess(self, value: Any) -> Any:
        """How far outside a value of the metric is, as a share: above 0 it is infeasible.

        Of numbers or columns.
        """
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
        outside: _Mask = self.excess(self.measure(columns, num_classes)) > 0
        return outside

    def _solve_width(
        self, columns: ArchColumns, num_classes: int
    ) -> tuple[ArchColumns, NDArray[np.float64]]:
        """The largest widths within the upper limit, and their multiplier.

        Rounding makes cost a staircase of the multiplier, of which a step may be higher than the
        tolerance: what is left over then goes to the head, which costs least a channel, and at
        last to single layers.
        """

        def cost(networks: ArchColumns) -> NDArray[Any]:
            return self.measure(networks, num_classes)

        least, most = self.limits
        low = np.full(len(columns), np.log(MULTIPLIERS[0]))
        high = np.full(len(columns), np.log(MULTIPLIERS[1]))
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            over = cost(self._widened(columns, np.exp(middle))) > most
            low, high = np.where(over, low, middle), np.where(over, middle, high)
        solved = self._widened(columns, np.exp(low))
        widest = np.floor(solved.head * (1 + MOST_HEAD_CHANGE)).astype(np.int64)
        value = cost(solved)
        for round_number in range(NUDGES + 1):
            short = np.flatnonzero(value < least)
            if not len(short):
                return solved, np.exp(low)
            some = solved.take(short)
            filled = self._fill_head(some, widest[short], value[short], cost)
            # A prediction is no line: what the slope of one step promised may overshoot.
            some = _where(cost(filled) <= most, filled, some) if self.predicted else filled
            if round_number < NUDGES:
                some = self._nudge(some, cost)
            solved = _put(solved, short, some)
            value[short] = cost(some)
        short = np.flatnonzero(value < least)
        if len(short):
            solved = _put(solved, short, self._rescue(solved.take(short), cost))
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
        self, columns: ArchColumns, widest: NDArray[np.int64], now: NDArray[Any], cost: _Cost
    ) -> ArchColumns:
        """The head wider, `widest` at most, by what is missing to the target; they cost `now`."""
        assert self.target is not None
        step = self._step
        least = 1e-6 * self.target if self.predicted else 1
        each = np.maximum(least, cost(replace(columns, head=columns.head + step)) - now)
        steps = np.rint((self.target - now) / each)
        room = np.maximum(0, (widest - columns.head) // step)
        head = columns.head + step * np.clip(steps, 0, room).astype(np.int64)
        return replace(columns, head=np.where(columns.head > 0, head, 0))

    def _nudge(self, columns: ArchColumns, cost: _Cost) -> ArchColumns:
        """The one layer a step wider that comes nearest to the target from below, where it is
        not reached."""
        least, most = self.limits
        layers = columns.channels.shape[1] + 1
        moves: list[_Move] = [(), *(((layer, 1),) for layer in range(layers))]
        moved, _, value = self._moved(columns, moves, cost)
        best = np.argmax(np.where(value <= most, value, -np.inf), axis=1)
        best[value[:, 0] >= least] = 0  # the first is none
        return moved.take(np.arange(len(columns)) * len(moves) + best)

    def _rescue(self, columns: ArchColumns, cost: _Cost) -> ArchColumns:
        """The first of all moves by which the target is reached; as they are where none does."""
        least, most = self.limits
        moves = [(), *_moves(columns.channels.shape[1] + 1)]
        moved, possible, value = self._moved(columns, moves, cost)
        reached = possible & (least <= value) & (value <= most)
        return moved.take(np.arange(len(columns)) * len(moves) + np.argmax(reached, axis=1))

    def _moved(
        self, columns: ArchColumns, moves: Sequence[_Move], cost: _Cost
    ) -> tuple[ArchColumns, _Mask, NDArray[Any]]:
        """Every network by every move: (archs · moves), and as (archs, moves) where that leaves
        every layer a step and what it costs."""
        layers = columns.channels.shape[1] + 1
        change = np.zeros((len(moves), layers), dtype=np.int64)
        for number, move in enumerate(moves):
            for layer, steps in move:
                change[number, layer] = steps * self._step
        widths = np.column_stack([columns.channels, columns.stem])[:, None] + change
        possible: _Mask = np.all(widths >= self._step, axis=2)
        widths = np.maximum(widths, self._step).reshape(-1, layers)
        every = columns.take(np.repeat(np.arange(len(columns)), len(moves)))
        moved = replace(every, channels=widths[:, :-1], stem=widths[:, -1])
        parts = [
            cost(moved.take(np.arange(start, min(start + AT_ONCE, len(moved)))))
            for start in range(0, len(moved), AT_ONCE)
        ]
        return moved, possible, np.concatenate(parts).reshape(len(columns), len(moves))

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
        has_shortcut = has_identity(repeats, stage.stride, entering, channels)
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
