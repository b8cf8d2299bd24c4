"""What a person sees while trainings run: a bar on a terminal, a line for each elsewhere."""

from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Final, Self

from blocks.console import about, console, millions, thousands
from search.commands.bar import Bar, sparkline
from search.evaluators.progress import Epochs
from search.pareto import non_dominated
from search.record.trials import FailureRecord, Record, TrialRecord
from search.study.objective import ACCURACY, Objective
from search.study.time_left import TimeLeft

MOST_SHOWN: Final = 6
"""Trainings that run now whose epochs are shown."""


class TrialProgress:
    """How many trainings are done, how fast, how long the rest takes, and the best so far; a
    context manager.

    `total` trainings are expected in all, of which `before` were done by earlier runs; none is
    begun after `seconds`. The best so far is what `objective` says.
    """

    def __init__(
        self,
        what: str,
        total: int,
        before: int = 0,
        objective: Objective = ACCURACY,
        seconds: float | None = None,
    ) -> None:
        self.objective = objective
        self.what = what
        self.total = total
        self.best: TrialRecord | None = None
        self._history: list[float] = []
        self._front: list[TrialRecord] = []
        self._completed = before
        self._numbered = False  # of a list, a record's number is only its place
        self._time = TimeLeft(seconds)
        self._running: Callable[[], Sequence[Epochs]] = tuple
        self._bar = Bar(what, total, before, self._pace, self._detail)

    def __enter__(self) -> Self:
        self._time.begin()
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._bar.stop()

    def watch(self, running: Callable[[], Sequence[Epochs]]) -> None:
        """Show the epochs of the trainings that run now."""
        self._running = running

    def known(self, record: TrialRecord) -> None:
        """Take a record of an earlier run into account."""
        self._time.known(record)
        self._judge(record)

    def found(self, record: TrialRecord) -> None:
        """Count a training that an earlier run did."""
        self.known(record)
        self._completed += 1
        self._bar.at(self._completed)

    def queued(self, work: Sequence[int]) -> None:
        """Expect trainings of so much work each."""
        self._time.queued(work)

    def one_more(self, record: Record, work: int) -> None:
        """Show a finished training of a list, one more than before."""
        self._ended(record, self._completed + 1, work)

    def trial(self, record: Record, completed: int) -> None:
        """Show one finished trial."""
        self._numbered = True
        self._ended(record, completed, None)

    def __rich__(self) -> Bar:
        """As it stands."""
        return self._bar

    def _ended(self, record: Record, completed: int, work: int | None) -> None:
        self._time.ended(record, work)
        if isinstance(record, TrialRecord):
            self._judge(record)
        self._completed = completed
        self._bar.at(completed)
        if not console.live:
            console.print(self._line(record))

    def _judge(self, record: TrialRecord) -> None:
        if record.stopped:  # what was stopped early compares with nothing
            return
        if self.best is None or self.objective.better(record, self.best):
            self.best = record
        self._history.append(self.objective.score(self.best))
        if self.objective.aim == "pareto":
            found = sorted([*self._front, record], key=lambda each: each.cost.macs)
            told = [self.objective.told(each) for each in found]
            kept = non_dominated(*zip(*told, strict=True))
            self._front = [each for each, keep in zip(found, kept, strict=True) if keep]

    def _pace(self) -> str:
        """Beside the bar: trainings an hour, and the time that is left."""
        running = self._running()
        rate = self._time.an_hour(running)
        said = [] if rate is None else [f"{rate:,.{1 if rate < 9.5 else 0}f} an hour"]
        left = self._time.left(self.total - self._completed, running)
        if left is not None and self._completed < self.total:
            said.append(f"{about(left)} left")
        return ", ".join(said)

    def _detail(self) -> str:
        """Below the bar: epochs of what runs now, the best so far, and the front or how that
        rose."""
        running = self._running()
        shown = " ".join(f"{done}/{whole}" for done, whole in running[:MOST_SHOWN])
        more = " …" if len(running) > MOST_SHOWN else ""
        said = [f"epochs {shown}{more}"] if running else []
        if self.best is not None:
            number = f" (#{self.best.number})" if self._numbered else ""
            said.append(f"best {self.objective.describe(self.best)}{number}")
        return "  ".join([*said, *filter(None, [self._drawn()])])

    def _drawn(self) -> str:
        """The front from the cheapest network to the dearest; where none is sought, or it has one
        network so far, the best over time."""
        front = sparkline([self.objective.score(each) for each in self._front])
        return f"front {front}" if front else sparkline(self._history)

    def _line(self, record: Record) -> str:
        """Of a log: short, as its file holds the rest, the network's spelling included."""
        said = f"{self.what} {self._completed}/{self.total}"
        if self._numbered:
            said += f" #{record.number}"
        if isinstance(record, FailureRecord):
            said += f" failed ({record.kind}: {record.error})"
        else:
            quality, cost = self.objective.quality, record.cost
            said += (
                f" {quality.short} {quality.of(record.metrics):.4f} macs {millions(cost.macs)} "
                f"params {thousands(cost.params)}"
            )
            if record.stopped:
                said += f", stopped at epoch {record.fidelity['epochs']}"
        if self.best is not None:
            said += f"; best {self.objective.describe(self.best)}"
        left = self._time.left(self.total - self._completed, self._running())
        if left is None or self._completed >= self.total:
            return said
        return f"{said}, {about(left)} left"
