"""Who hears of each training: nobody, until a command line shows a bar."""

from types import TracebackType
from typing import Protocol, Self

from search.record.trials import Record, TrialRecord
from search.study.objective import ACCURACY, Objective


class Progress(Protocol):
    """A context manager that hears of trainings while they are done."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...

    def known(self, record: TrialRecord) -> None:
        """A record of an earlier run counts for the best so far."""

    def trial(self, record: Record, completed: int) -> None:
        """A trial has been recorded; so many are completed."""

    def one_more(self, record: Record) -> None:
        """A training has been finished, one more than before."""


class Show(Protocol):
    """Makes a `Progress` of `total` trainings, of which `before` were done by earlier runs."""

    def __call__(
        self, what: str, total: int, before: int = 0, objective: Objective = ACCURACY
    ) -> Progress: ...


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

    def known(self, record: TrialRecord) -> None:
        """Nothing is shown."""

    def trial(self, record: Record, completed: int) -> None:
        """Nothing is shown."""

    def one_more(self, record: Record) -> None:
        """Nothing is shown."""


def silent(what: str, total: int, before: int = 0, objective: Objective = ACCURACY) -> Progress:
    """A `Show` of nothing: what a library does."""
    return Silent()
