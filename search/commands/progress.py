"""What a person sees while trials run: a live bar on a terminal, plain lines elsewhere."""

import time
from types import TracebackType
from typing import Self

from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn

from blocks.console import console, duration, millions
from search.record.trials import FailureRecord, Record, TrialRecord
from search.study.objective import ACCURACY, Objective


class TrialProgress:
    """Trial number, best so far and time left; a context manager.

    `total` trainings are expected in all, of which `before` were done by earlier runs. The best
    so far is what `objective` says.
    """

    def __init__(
        self, what: str, total: int, before: int = 0, objective: Objective = ACCURACY
    ) -> None:
        self.objective = objective
        self.what = what
        self.total = total
        self.before = before
        self.best: TrialRecord | None = None
        self._completed = before
        self._started = time.monotonic()
        self._bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[status]}", markup=False),
            console=console,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task(what, total=total, completed=before, status="")

    def __enter__(self) -> Self:
        self._started = time.monotonic()
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._bar.stop()

    def known(self, record: TrialRecord) -> None:
        """Take a record of an earlier run into account for the best so far."""
        if record.stopped:  # what was stopped early compares with nothing
            return
        if self.best is None or self.objective.better(record, self.best):
            self.best = record

    def one_more(self, record: Record) -> None:
        """Show a finished training, one more than before."""
        self.trial(record, self._completed + 1)

    def trial(self, record: Record, completed: int) -> None:
        """Show one finished trial."""
        if isinstance(record, TrialRecord):
            self.known(record)
        self._completed = completed
        elapsed = time.monotonic() - self._started
        done = max(1, completed - self.before)
        left = elapsed / done * max(0, self.total - completed)
        best = f"best {self.objective.describe(self.best)}" if self.best else "no best yet"
        self._bar.update(self._task, completed=completed, status=f"{best}, {duration(left)} left")
        if console.is_terminal:
            return
        if isinstance(record, FailureRecord):
            line = f"failed ({record.kind}: {record.error})  {record.arch}"
        else:
            quality = self.objective.quality
            line = (
                f"{quality.short} {quality.of(record.metrics):.4f}  "
                f"macs {millions(record.cost.macs)}  "
                f"{sum(record.seconds.values()):.1f} s  {record.arch}"
            )
        counted = f"{self.what} {completed}/{self.total}  #{record.number}"
        console.print(f"{counted}  {line}  [{best}, {duration(left)} left]", markup=False)
