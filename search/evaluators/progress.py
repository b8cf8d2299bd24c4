"""Who hears of trainings while they are done: nobody, until a command line shows them."""

from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Protocol, Self

from search.record.trials import Record, TrialRecord

Epochs = tuple[int, int]
"""Of a training that runs: the epochs that are done, and those of its whole schedule."""


class Progress(Protocol):
    """A context manager that hears of trainings while they are done."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...

    def watch(self, running: Callable[[], Sequence[Epochs]]) -> None:
        """`running` says at any time how far the trainings are that run now."""

    def known(self, record: TrialRecord) -> None:
        """A record of an earlier run counts for the best so far, and for what a training takes."""

    def found(self, record: TrialRecord) -> None:
        """A training of a list was done by an earlier run."""

    def queued(self, work: Sequence[int]) -> None:
        """Trainings of so much work each (multiply-adds of an image times epochs) are about to
        begin."""

    def trial(self, record: Record, completed: int) -> None:
        """A trial has been recorded; so many are completed."""

    def one_more(self, record: Record, work: int) -> None:
        """A training that was queued, of so much work, has been finished."""


class Silent:
    """A `Progress` that shows nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        return None

    def watch(self, running: Callable[[], Sequence[Epochs]]) -> None:
        """Nothing is shown."""

    def known(self, record: TrialRecord) -> None:
        """Nothing is shown."""

    def found(self, record: TrialRecord) -> None:
        """Nothing is shown."""

    def queued(self, work: Sequence[int]) -> None:
        """Nothing is shown."""

    def trial(self, record: Record, completed: int) -> None:
        """Nothing is shown."""

    def one_more(self, record: Record, work: int) -> None:
        """Nothing is shown."""
