"""What every command line of the toolkit shares: where it prints, and how it ends."""

import io
import os
import re
import sys
from collections.abc import Callable

from rich.console import Console

from blocks.errors import CompoundNasError

console = Console(
    # Text is printed as it is: a file may be called `photo [final].png`, a spelling is full of
    # brackets. Where a style is wanted, it is a `rich.text.Text` or an argument.
    markup=False,
    emoji=False,
    highlight=False,
    soft_wrap=True,
    width=None if sys.stdout.isatty() or "COLUMNS" in os.environ else 140,
)
"""Standard output. Wide lines are left to the terminal, so that logs keep whole spellings; a log
has no width, where tables get room for their cells."""


def run_main(main: Callable[[], None], after_interrupt: str) -> None:
    """Run a command: a user's mistake is one line and exit code 2, Ctrl-C is 130."""
    print_anything()
    try:
        main()
    except CompoundNasError as error:
        fail(str(error))
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        fail(f"cannot read or write{where}: {error.strerror or error}; what was done is on disk")
    except KeyboardInterrupt:
        print(f"\ninterrupted; {after_interrupt}", file=sys.stderr)
        sys.exit(130)


def fail(message: str) -> None:
    """Print one line and exit with code 2."""
    complain(message)
    sys.exit(2)


def complain(message: str) -> None:
    """Print one line about what went wrong."""
    print_anything()
    line = re.sub(r"\s*\n\s*", " ", message.strip())
    print(f"error: {line}", file=sys.stderr)


def print_anything() -> None:
    """Have letters that the output's encoding lacks printed as escapes, rather than refused."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors in ("strict", "surrogateescape"):
            stream.reconfigure(errors="backslashreplace")


def duration(seconds: float) -> str:
    """`1 h 02 min`, `3 min 05 s`, or `4.2 s`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min"


def millions(count: int) -> str:
    """A count for people: `1.95M`, `37.75G`."""
    return f"{count / 1e9:.2f}G" if count >= 1e9 else f"{count / 1e6:.2f}M"
