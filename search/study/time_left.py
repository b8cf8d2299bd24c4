"""When trainings will be done, by how fast those of this run were.

All is measured on the wall clock of this run alone: how many run side by side, what proposing
takes, and other work on the machine are in it, and nothing has to be known of them. What earlier
runs did only says how much work a training is.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from search.evaluators.progress import Epochs
from search.record.trials import Record, TrialRecord

LEAST: Final = 3
"""Trainings before it is known what their time goes by."""


@dataclass(frozen=True)
class _Ended:
    """A training that has ended: multiply-adds of an image times epochs, epochs, seconds."""

    work: float
    epochs: int
    seconds: float


class TimeLeft:
    """Of trainings the rate, and the seconds that are left.

    A training counts by its work, multiply-adds times epochs, where that predicts better what it
    took than the mean does; else as one. One that runs counts by the epochs that it has done.
    """

    def __init__(
        self, limit: float | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._limit = limit
        self._clock = clock
        self._began = self._first = clock()
        self._known: list[_Ended] = []
        self._ended: list[_Ended] = []
        self._failed = 0
        self._waiting: list[float] = []

    def begin(self) -> None:
        """The clock starts."""
        self._began = self._first = self._clock()

    def known(self, record: TrialRecord) -> None:
        """An earlier run did this training."""
        self._known.append(_ended(record))

    def queued(self, work: Sequence[float]) -> None:
        """Trainings of so much work each are waiting."""
        self._waiting += work

    def ended(self, record: Record, work: float | None = None) -> None:
        """A training has ended in this run; `work` as it was queued with, where it was."""
        if work is not None:
            self._waiting.remove(work)
        if isinstance(record, TrialRecord):
            own = _ended(record)
            if not self._ended:
                # Before the first began, workers have loaded their libraries: once.
                self._first = max(self._first, self._clock() - own.seconds)
            self._ended.append(own if work is None else _Ended(work, own.epochs, own.seconds))
        else:
            self._failed += 1

    def an_hour(self, running: Sequence[Epochs] = ()) -> float | None:
        """Trainings an hour; None before there is anything to measure."""
        done = len(self._ended) + self._failed + sum(self._shares(running))
        elapsed = self._clock() - self._first
        return 3600 * done / elapsed if done and elapsed > 0 else None

    def left(self, trainings: int, running: Sequence[Epochs] = ()) -> float | None:
        """Seconds until so many more are done; None before there is anything to measure."""
        now = self._clock()
        elapsed = now - self._first
        most = None if self._limit is None else max(0.0, self._began + self._limit - now)
        if trainings <= 0:
            return 0.0
        by_work = self._by_work()
        each = self._mean(by_work)
        ended = sum(one.work if by_work else 1.0 for one in self._ended)
        waiting = self._waiting[:trainings]
        rest = sum(waiting) if by_work else float(len(waiting))
        rest += (trainings - len(waiting)) * each
        begun = sum(self._shares(running)) * each
        if not ended + begun:
            return most
        left = elapsed * max(0.0, rest - begun) / (ended + begun)
        return left if most is None else min(left, most)

    def _mean(self, by_work: bool) -> float:
        """Of a training, what it counts."""
        if not by_work:
            return 1.0
        seen = [one.work for one in (*self._known, *self._ended)]
        return float(np.mean(seen or self._waiting))

    def _shares(self, running: Sequence[Epochs]) -> list[float]:
        """Of each training that runs what is done: of its epochs, or of as many as trainings had
        in the mean, where a pruner stops some."""
        seen = [one.epochs for one in (*self._known, *self._ended) if one.epochs]
        mean = float(np.mean(seen)) if seen else None
        return [
            min(1.0, done / max(1.0, whole if mean is None else min(mean, whole)))
            for done, whole in running
        ]

    def _by_work(self) -> bool:
        """Whether work predicts seconds better than their mean does, each training predicted by
        the others."""
        seen = [one for one in (*self._known, *self._ended) if one.work > 0]
        if len(seen) < LEAST:
            return bool(self._waiting)
        work = np.array([one.work for one in seen])
        seconds = np.array([one.seconds for one in seen])
        by_mean = (seconds.sum() - seconds) / (len(seen) - 1)
        # Least squares through 0 without the one that is predicted.
        products, squares = work * seconds, work**2
        by_work = work * (products.sum() - products) / (squares.sum() - squares)
        return bool(((by_work - seconds) ** 2).sum() < ((by_mean - seconds) ** 2).sum())


def _ended(record: TrialRecord) -> _Ended:
    epochs = record.fidelity.get("epochs", 0)
    return _Ended(record.cost.macs * max(1, epochs), epochs, sum(record.seconds.values()))
