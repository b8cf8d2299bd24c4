"""Single layers a channel step wider or narrower: the last way to a budget's target."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from blocks.cost import ArchColumns
from search.space.budget import Budget

MOST_MOVED: Final = 3
"""Layers that may at last be a step wider or narrower at once."""
AT_ONCE: Final = 20_000
"""Networks that are costed together, where there are many."""

CostOf = Callable[[ArchColumns], NDArray[Any]]
Mask = NDArray[np.bool_]
Move = Sequence[tuple[int, int]]
"""(layer, channel steps) of what is moved at once; the stem is the last layer."""


def channel_step(rounding: str) -> int:
    """Channels between two widths that a rounding allows."""
    return 1 if rounding == "floor" else 8


def widen_one_layer(budget: Budget, columns: ArchColumns, cost: CostOf) -> ArchColumns:
    """Each network with one layer a step wider, the one that comes nearest to the target from
    below; as it is where the target is reached already."""
    least, most = budget.limits
    layers = columns.channels.shape[1] + 1
    moves: list[Move] = [(), *(((layer, 1),) for layer in range(layers))]
    moved, _, value = _moved(columns, moves, channel_step(budget.rounding), cost)
    best = np.argmax(np.where(value <= most, value, -np.inf), axis=1)
    best[value[:, 0] >= least] = 0  # the first is none
    return moved.take(np.arange(len(columns)) * len(moves) + best)


def move_several_layers(budget: Budget, columns: ArchColumns, cost: CostOf) -> ArchColumns:
    """The first of all moves by which the target is reached; as they are where none does."""
    least, most = budget.limits
    moves: list[Move] = [(), *_all_moves(columns.channels.shape[1] + 1)]
    moved, possible, value = _moved(columns, moves, channel_step(budget.rounding), cost)
    reached = possible & (least <= value) & (value <= most)
    return moved.take(np.arange(len(columns)) * len(moves) + np.argmax(reached, axis=1))


def put_rows(columns: ArchColumns, rows: NDArray[np.intp], values: ArchColumns) -> ArchColumns:
    """`columns` with the widths and repeats of `values` in some rows."""
    changed = {}
    for name in ("stem", "head", "channels", "repeats"):
        column = getattr(columns, name).copy()
        column[rows] = getattr(values, name)
        changed[name] = column
    return replace(columns, **changed)


def _moved(
    columns: ArchColumns, moves: Sequence[Move], step: int, cost: CostOf
) -> tuple[ArchColumns, Mask, NDArray[Any]]:
    """Every network by every move: (archs · moves).

    Beside it, as (archs, moves): whether every layer keeps a step of channels, and the cost.
    """
    layers = columns.channels.shape[1] + 1
    change = np.zeros((len(moves), layers), dtype=np.int64)
    for number, move in enumerate(moves):
        for layer, steps in move:
            change[number, layer] = steps * step
    widths = np.column_stack([columns.channels, columns.stem])[:, None] + change
    possible: Mask = np.all(widths >= step, axis=2)
    widths = np.maximum(widths, step).reshape(-1, layers)
    every = columns.take(np.repeat(np.arange(len(columns)), len(moves)))
    moved = replace(every, channels=widths[:, :-1], stem=widths[:, -1])
    parts = [
        cost(moved.take(np.arange(start, min(start + AT_ONCE, len(moved)))))
        for start in range(0, len(moved), AT_ONCE)
    ]
    return moved, possible, np.concatenate(parts).reshape(len(columns), len(moves))


def _all_moves(layers: int) -> Iterator[Move]:
    """All ways to change up to `MOST_MOVED` layers by a step, the least first."""
    for number in range(2, MOST_MOVED + 1):
        for chosen in itertools.combinations(range(layers), number):
            for steps in itertools.product((1, -1), repeat=number):
                yield tuple(zip(chosen, steps, strict=True))
