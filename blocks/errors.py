"""The one error root. Command lines print it as a single line and exit with code 2."""

from typing import Final


class CompoundNasError(Exception):
    """A user's mistake: the message holds the offending value, what was expected, and where."""


class ArchError(CompoundNasError):
    """An architecture that cannot be spelt, read or built."""


class WeightsError(CompoundNasError):
    """A weights file that cannot be read, or that belongs to another network."""


class ExportError(CompoundNasError):
    """A network that cannot be exported, or an exported one that differs from its origin."""


class LatencyError(CompoundNasError):
    """A measurement that cannot be made, or a latency table that cannot be read."""


class CostMismatchError(CompoundNasError):
    """The arithmetic count and the measuring tool disagree: a bug here, never bad input."""


DAMAGED: Final = (
    ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError,
)  # fmt: skip
"""What comes of text, JSON or YAML that is not what was written: values of another type, names that
lack, numbers or depths beyond all bounds."""


def one_line(error: BaseException) -> str:
    """What an error of a library says, its line breaks and indents folded."""
    return " ".join(str(error).split())
