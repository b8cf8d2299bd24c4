"""The one error root. Command lines print it as a single line and exit with code 2."""


class CompoundNasError(Exception):
    """A user's mistake: the message holds the offending value, what was expected, and where."""


class ArchError(CompoundNasError):
    """An architecture that cannot be spelt, read or built."""


class CostMismatchError(CompoundNasError):
    """The arithmetic count and the measuring tool disagree: a bug here, never bad input."""
