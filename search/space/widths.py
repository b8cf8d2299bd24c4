"""Widths solved for an exact cost: the networks of a shape that a budget's target allows.

A global width multiplier is solved by halving. Rounding makes cost a staircase of it, of which a
step may be higher than the tolerance: what is left over goes to the head, which costs least a
channel, and at last to single layers.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from blocks.arch import ArchSpec
from blocks.arch.walk import has_identity
from blocks.cost import ArchColumns, CostColumns
from blocks.rounding import round_column
from search.space.budget import Budget
from search.space.layer_moves import (
    CostOf,
    Mask,
    channel_step,
    move_several_layers,
    put_rows,
    widen_one_layer,
)

MULTIPLIERS: Final = (1 / 32, 32.0)
"""Width multipliers that are looked at."""
HALVINGS: Final = 14
"""Of the logarithm of that range: steps of 0.04%, finer than any rounding of channels."""
MOST_HEAD_CHANGE: Final = 0.5
"""By which share of its width the head may make up for what rounding left over."""
NUDGES: Final = 4
"""Channel steps that other layers may be widened by, where the head was not enough."""
DEPTHS: Final = (1.0, 1.5, 2.0, 3.0, 2 / 3, 1 / 2, 1 / 3)
"""Factors of all repeats that `solve=width_depth` looks at."""


@dataclass(frozen=True)
class Widths:
    """Channels of a network's stem, stages and head."""

    stem: int
    channels: tuple[int, ...]
    head: int


def fit(budget: Budget, columns: ArchColumns, num_classes: int) -> tuple[ArchColumns, CostColumns]:
    """The networks as they are evaluated, and what they cost; `budget.excess` says which may be.

    Without a target they are the shapes themselves. With one a shape that rounding keeps from it
    comes back as near as it could be brought.
    """
    if budget.target is None:
        return columns, columns.count(num_classes)
    solved, multiplier = solve_width(budget, columns, num_classes)
    if budget.solve == "width_depth":
        solved = _solve_depth(budget, columns, solved, multiplier, num_classes)
    return solved, solved.count(num_classes)


def widest(budget: Budget, columns: ArchColumns, num_classes: int) -> Widths:
    """Bounds of each layer's width in what `fit` makes of these shapes.

    They also bound what it makes of any shape that costs more at the same width.
    """
    if budget.target is not None:
        if budget.solve == "width_depth":
            columns = replace(columns, repeats=deepened(columns.repeats, min(DEPTHS)))
        _, multiplier = solve_width(budget, columns, num_classes)
        columns = _widened(columns, multiplier, budget.rounding)
        # Each round of nudges adds a step, and so may the last moves.
        more = channel_step(budget.rounding) * (NUDGES + 1)
        columns = replace(
            columns,
            stem=columns.stem + more,
            channels=columns.channels + more,
            head=_widest_head(columns),
        )
    return Widths(
        int(columns.stem.max()),
        tuple(int(width) for width in columns.channels.max(0)),
        int(columns.head.max()),
    )


def deepened(repeats: NDArray[np.int64], factor: float) -> NDArray[np.int64]:
    """Repeats times a factor, rounded up as EfficientNet rounds depths."""
    rounded: NDArray[np.int64] = np.maximum(1, np.ceil(repeats * factor - 1e-9)).astype(np.int64)
    return rounded


def with_widths(arch: ArchSpec, columns: ArchColumns, row: int, skip: Sequence[bool]) -> ArchSpec:
    """`arch` with the stem, head, channels and repeats of one row of columns.

    `skip` says of each of the columns' stages whether it keeps its shortcuts, which other widths
    may have made possible or not.
    """
    stages = []
    entering = int(columns.stem[row])
    positions = np.flatnonzero(columns.present[row]).tolist()
    for position, stage in zip(positions, arch.stages, strict=True):
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


def _solve_depth(
    budget: Budget,
    columns: ArchColumns,
    solved: ArchColumns,
    multiplier: NDArray[np.float64],
    num_classes: int,
) -> ArchColumns:
    """Of several depths the one whose width needs the least change."""

    def score(networks: ArchColumns, multiplier: NDArray[np.float64]) -> NDArray[np.float64]:
        misses = budget.excess(budget.measure(networks, num_classes)) > 0
        change: NDArray[np.float64] = np.abs(np.log(multiplier)) + 100.0 * misses
        return change

    best = score(solved, multiplier)
    for factor in DEPTHS[1:]:
        other, other_multiplier = solve_width(
            budget, replace(columns, repeats=deepened(columns.repeats, factor)), num_classes
        )
        found = score(other, other_multiplier)
        solved = _where(found < best, other, solved)
        best = np.minimum(found, best)
    return solved


def solve_width(
    budget: Budget, columns: ArchColumns, num_classes: int
) -> tuple[ArchColumns, NDArray[np.float64]]:
    """The largest widths within the upper limit, and their multiplier."""

    def cost(networks: ArchColumns) -> NDArray[Any]:
        return budget.measure(networks, num_classes)

    least, most = budget.limits
    low = np.full(len(columns), np.log(MULTIPLIERS[0]))
    high = np.full(len(columns), np.log(MULTIPLIERS[1]))
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        over = cost(_widened(columns, np.exp(middle), budget.rounding)) > most
        low, high = np.where(over, low, middle), np.where(over, middle, high)
    multiplier = np.exp(low)
    solved = _widened(columns, multiplier, budget.rounding)
    widest_head = _widest_head(solved)
    value = cost(solved)
    for round_number in range(NUDGES + 1):
        short = np.flatnonzero(value < least)
        if not len(short):
            return solved, multiplier
        some = solved.take(short)
        filled = _fill_head(budget, some, widest_head[short], value[short], cost)
        # A prediction is no line: what the slope of one step promised may overshoot.
        some = _where(cost(filled) <= most, filled, some) if budget.predicted else filled
        if round_number < NUDGES:
            some = widen_one_layer(budget, some, cost)
        solved = put_rows(solved, short, some)
        value[short] = cost(some)
    short = np.flatnonzero(value < least)
    if len(short):
        solved = put_rows(solved, short, move_several_layers(budget, solved.take(short), cost))
    return solved, multiplier


def _widened(columns: ArchColumns, multiplier: NDArray[np.float64], rounding: str) -> ArchColumns:
    return replace(
        columns,
        stem=round_column(rounding, columns.stem * multiplier),
        channels=round_column(rounding, columns.channels * multiplier[:, None]),
        head=np.where(columns.head > 0, round_column(rounding, columns.head * multiplier), 0),
    )


def _widest_head(columns: ArchColumns) -> NDArray[np.int64]:
    widest_head: NDArray[np.int64] = np.floor(columns.head * (1 + MOST_HEAD_CHANGE)).astype(
        np.int64
    )
    return widest_head


def _fill_head(
    budget: Budget,
    columns: ArchColumns,
    widest_head: NDArray[np.int64],
    now: NDArray[Any],
    cost: CostOf,
) -> ArchColumns:
    """The head wider, `widest_head` at most, by what is missing to the target; they cost `now`."""
    assert budget.target is not None
    step = channel_step(budget.rounding)
    least = 1e-6 * budget.target if budget.predicted else 1
    each = np.maximum(least, cost(replace(columns, head=columns.head + step)) - now)
    steps = np.rint((budget.target - now) / each)
    room = np.maximum(0, (widest_head - columns.head) // step)
    head = columns.head + step * np.clip(steps, 0, room).astype(np.int64)
    return replace(columns, head=np.where(columns.head > 0, head, 0))


def _where(mask: Mask, left: ArchColumns, right: ArchColumns) -> ArchColumns:
    rows = np.flatnonzero(mask)
    return put_rows(right, rows, left.take(rows))
