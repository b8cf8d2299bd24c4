"""What a user can get wrong in a search."""

from collections.abc import Sequence

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
    """A candidate whose training failed; recorded, never fatal on its own.

    `kind`: nan, oom, timeout, build, data, killed, node or error. `log`: the last lines of what its
    worker said, or where in the code it failed.
    """

    def __init__(self, kind: str, message: str, log: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.kind = kind
        self.log = tuple(log)

    def __reduce__(self) -> tuple[type, tuple[str, str, tuple[str, ...]]]:  # crosses processes
        return TrainingError, (self.kind, str(self), self.log)
