"""What a worker in another folder, or on another machine, has to be told in full."""

from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any, Final

HOME: Final = Path(__file__).resolve().parents[3]
"""Where the three packages are."""
PATHS: Final = ("save", "outcomes", "checkpoint")
"""Fields of a job that name files."""


def anywhere(job: Any) -> Any:
    """The job with whole paths."""
    if not is_dataclass(job) or isinstance(job, type):
        return job
    names = [each.name for each in fields(job) if each.name in PATHS]
    given = {name: getattr(job, name) for name in names}
    whole = {name: str(Path(path).absolute()) for name, path in given.items() if path is not None}
    return replace(job, **whole)
