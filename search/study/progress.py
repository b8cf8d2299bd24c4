"""What a person sees while trials run: a live bar on a terminal, plain lines elsewhere."""

import time
from types import TracebackType

from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn
from rich.table import Table

from blocks.console import console, duration, millions
from search.record.trials import FailureRecord, Record, TrialRecord


class TrialProgress:
    """Trial number, best so far and time left; a context manager.

    `total` trainings are expected in all, of which `before` were done by earlier runs.
    """

    def __init__(self, what: str, total: int, before: int = 0) -> None:
        self.what = what
        self.total = total
        self.before = before
        self.best: TrialRecord | None = None
        self._completed = before
        self._started = time.monotonic()
        self._bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[status]}"),
            console=console,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task(what, total=total, completed=before, status="")

    def __enter__(self) -> "TrialProgress":
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
        if self.best is None or record.metrics["val_accuracy"] > self.best.metrics["val_accuracy"]:
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
        best = f"best {self.best.metrics['val_accuracy']:.4f}" if self.best else "no best yet"
        self._bar.update(self._task, completed=completed, status=f"{best}, {duration(left)} left")
        if console.is_terminal:
            return
        if isinstance(record, FailureRecord):
            line = f"failed ({record.kind}: {record.error})  {record.arch}"
        else:
            line = (
                f"acc {record.metrics['val_accuracy']:.4f}  macs {millions(record.cost.macs)}  "
                f"{sum(record.seconds.values()):.1f} s  {record.arch}"
            )
        counted = f"{self.what} {completed}/{self.total}  #{record.number}"
        console.print(f"{counted}  {line}  [{best}, {duration(left)} left]", markup=False)


def time_table(title: str, seconds: dict[str, float]) -> Table:
    """Where the time went, as shares of the whole."""
    table = Table(title=title, title_justify="left")
    table.add_column("step")
    table.add_column("time", justify="right")
    table.add_column("share", justify="right")
    whole = sum(seconds.values())
    for name, spent in seconds.items():
        table.add_row(name, duration(spent), f"{spent / whole:.0%}" if whole else "")
    table.add_row("in all", duration(whole), "", style="bold")
    return table
