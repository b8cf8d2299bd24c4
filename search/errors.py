"""What a user can get wrong in a search."""

import difflib
from collections.abc import Iterable

from blocks.errors import CompoundNasError


class ConfigError(CompoundNasError):
    """A setting that is misspelt, of the wrong type, outside its range, or impossible."""


class UnknownSettingError(ConfigError):
    """A setting that there is not: its name, and what to say of it."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(message)
        self.name = name


class DataError(CompoundNasError):
    """Images that are missing, unreadable or unfit for training."""


class StudyError(CompoundNasError):
    """A results folder that is missing, in use, damaged, or of another configuration."""


class TrainingError(CompoundNasError):
    """A candidate whose training failed; recorded, never fatal on its own."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind

    def __reduce__(self) -> tuple[type, tuple[str, str]]:  # crosses process borders
        return TrainingError, (self.kind, str(self))


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """` (did you mean 'x'?)`, or nothing where no known word is near."""
    close = difflib.get_close_matches(word, list(known), 1, cutoff=0.5)
    return f" (did you mean {close[0]!r}?)" if close else ""


def choose(name: str, value: str, known: Iterable[str]) -> str:
    """`value`, if it is one of `known`.

    Raises:
        ConfigError: it is not; names the setting and the nearest right value.
    """
    known = list(known)
    if value not in known:
        raise ConfigError(
            f"{name}={value} is unknown; expected one of {', '.join(known)}"
            f"{did_you_mean(value, known)}"
        )
    return value
