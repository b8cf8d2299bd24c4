"""The time that a training may take: looked at between two batches, so that nothing is torn."""

import time

from search.errors import TrainingError

_until: float | None = None
_minutes: float = 0.0


def set_deadline(minutes: float | None) -> None:
    """From now on, in this process; None: no limit."""
    global _until, _minutes
    _until = None if minutes is None else time.monotonic() + 60 * minutes
    _minutes = minutes or 0.0


def check_deadline() -> None:
    """A place where a training may end.

    Raises:
        TrainingError: it has taken longer than it may.
    """
    if _until is not None and time.monotonic() > _until:
        raise TrainingError("timeout", f"not done in workers.minutes={_minutes:g}")
