"""What every command line of the toolkit shares: where it prints, and how it ends."""

import io
import os
import re
import sys
import textwrap
from collections.abc import Callable
from typing import Any, Final

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

from blocks.errors import CompoundNasError
from blocks.passwords import without_passwords

LINE: Final = 80
"""Columns of a line in a log or a pipe, where `COLUMNS` does not say another number."""
_ASKED: Final = os.environ.get("COLUMNS", "")
_COLUMNS: Final = int(_ASKED) if _ASKED.isdecimal() else 0
"""What the environment says of them; 0, as some shells do, is nothing."""


class _Screen(Console):
    """Standard output. `columns`: what text is folded to where nobody's terminal does."""

    columns = _COLUMNS or LINE

    @property
    def live(self) -> bool:
        """Whether what was printed can be drawn anew: on a terminal that moves its cursor."""
        return self.is_terminal and not self.is_dumb_terminal

    def print(self, *objects: Any, whole: bool = False, **how: Any) -> None:
        """Print; lines of text are folded between words where the terminal is none, or a plain
        one, but for `whole` ones, that are copied: commands, and spellings of networks."""
        if not (self.live or whole):
            objects = tuple(fold(one, self.columns) if type(one) is str else one for one in objects)
        super().print(*objects, **how)


def fold(text: str, columns: int) -> str:
    """Lines of no more than so many columns, but for longer words, which stay whole: the path of a
    file is copied. What belongs to a line is indented below it."""
    return "\n".join(_folded(line, columns) for line in text.split("\n"))


def _folded(line: str, columns: int) -> str:
    if len(line) <= columns:
        return line
    indent = line[: len(line) - len(line.lstrip(" "))]
    parts = textwrap.wrap(
        line, columns, subsequent_indent=f"{indent}  ", break_long_words=False,
        break_on_hyphens=False, expand_tabs=False, replace_whitespace=False,
    )  # fmt: skip
    return "\n".join(parts)


console = _Screen(
    # Text is printed as it is: a file may be called `photo [final].png`, a spelling is full of
    # brackets. Where a style is wanted, it is a `rich.text.Text` or an argument.
    markup=False,
    emoji=False,
    highlight=False,
    soft_wrap=True,
    width=None if sys.stdout.isatty() or _COLUMNS else 140,
)
"""Standard output. Wide lines are left to a terminal, which folds them itself. A table in a log
gets room for its cells."""


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
    print(f"error: {without_passwords(as_one_line(message))}", file=sys.stderr)


def as_one_line(message: str) -> str:
    """The message with what would begin a line made a blank: a name may have anything in it."""
    return re.sub(r"\s*[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]\s*", " ", message.strip())


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


def fits(table: Table) -> bool:
    """Whether a table has room without a cell being cut."""
    wide = console.options.update(width=10_000)
    return Measurement.get(console, wide, table).maximum <= console.width


def about(seconds: float) -> str:
    """A time to come, in one number: `40 s`, `12 min`, `3.4 h`, `2.1 days`."""
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    if seconds < 99.5 * 60:
        return f"{seconds / 60:.0f} min"
    hours = seconds / 3600
    return f"{hours:.1f} h" if hours < 48 else f"{hours / 24:.1f} days"


def network(spelling: str, shorter: str) -> str:
    """A network on a terminal by its spelling; in a log, whose lines are short, by `shorter`."""
    return spelling if console.live else shorter


def thousands(count: int) -> str:
    """A count that may be small: `29.3k`, `4.01M`."""
    return f"{count / 1e3:.1f}k" if count < 999_950 else millions(count)


def millions(count: int) -> str:
    """A count for people: `1.95M`, `37.75G`."""
    return f"{count / 1e9:.2f}G" if count >= 1e9 else f"{count / 1e6:.2f}M"
