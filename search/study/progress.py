"""How a stage of a search begins to be shown: not at all, until a command line shows it."""

from typing import Protocol

from search.evaluators.progress import Progress, Silent
from search.study.objective import ACCURACY, Objective

__all__ = ["Progress", "Show", "Silent", "silent"]


class Show(Protocol):
    """Makes a `Progress` of `total` trainings, of which `before` were done by earlier runs. No
    more are begun after `seconds`, where it is given."""

    def __call__(
        self,
        what: str,
        total: int,
        before: int = 0,
        objective: Objective = ACCURACY,
        seconds: float | None = None,
    ) -> Progress: ...


def silent(
    what: str,
    total: int,
    before: int = 0,
    objective: Objective = ACCURACY,
    seconds: float | None = None,
) -> Progress:
    """A `Show` of nothing: what a library does."""
    return Silent()
