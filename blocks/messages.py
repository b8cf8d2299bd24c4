"""What the toolkit says while it works: lines of a logger, which nobody sees until they are shown.

A library says nothing unasked. The command lines print them; a user of Python who wants the same
lines sets the level of the logger `compound_nas` to INFO.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from blocks.passwords import without_passwords

log: Final = logging.getLogger("compound_nas")
log.addHandler(logging.NullHandler())


def say(line: str) -> None:
    """One line about what goes on."""
    log.info("%s", without_passwords(line))


def show() -> None:
    """Print every line from here on, as command lines do."""
    if not shown():
        log.addHandler(_Screen())
    log.setLevel(logging.INFO)


@contextmanager
def on_screen() -> Iterator[None]:
    """Within, every line is printed."""
    if shown():
        yield
        return
    show()
    try:
        yield
    finally:
        for handler in [each for each in log.handlers if isinstance(each, _Screen)]:
            log.removeHandler(handler)
        log.setLevel(logging.NOTSET)


def shown() -> bool:
    """Whether this process prints the lines; a worker process is told."""
    return any(isinstance(handler, _Screen) for handler in log.handlers)


class _Screen(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        from blocks.console import console  # rich: nothing that a silent library needs

        console.print(record.getMessage(), markup=False)
