"""Trials as JSON lines: what was trained, what failed, and the seeds of both."""

import errno
import hashlib
import json
import math
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from blocks.cost import Cost
from blocks.errors import DAMAGED
from search.errors import StudyError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


@dataclass(frozen=True, slots=True)
class TrialRecord:
    """One trained architecture. `arch` is its spelling, `seconds` by what they went to, `losses`
    the mean training loss of each epoch, where that was recorded."""

    number: int
    arch: str
    cost: Cost
    metrics: dict[str, float]
    seed: int
    fidelity: dict[str, int]
    seconds: dict[str, float]
    versions: dict[str, str]
    losses: tuple[float, ...] = ()

    @property
    def stopped(self) -> bool:
        """Whether a pruner ended the training early; its fidelity says when, and of how much."""
        return "of" in self.fidelity


@dataclass(frozen=True, slots=True)
class FailureRecord:
    """One architecture whose training failed, and how: nan, oom, timeout, build, data, killed,
    node or error.

    `log`: the last lines of what its worker said, or where in the code it failed. `cost`: what the
    network costs, where it was counted.
    """

    number: int
    arch: str
    kind: str
    error: str
    log: tuple[str, ...] = ()
    cost: Cost | None = None


Record = TrialRecord | FailureRecord
_Line = TypeVar("_Line")


def derive_seed(seed: int, *parts: object) -> int:
    """A 63-bit seed from the study's seed and whatever it is for; never from worker order."""
    text = json.dumps([seed, *parts], sort_keys=True, default=str)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def read_records(path: Path) -> list[Record]:
    """All records of a JSON-lines file, in the order they were finished.

    Raises:
        StudyError: a line that is not a record.
    """
    return read_lines(path, "record", _record)


def read_lines(path: Path, what: str, make: Callable[[dict[str, Any]], _Line]) -> list[_Line]:
    """What `make` makes of each line of a JSON-lines file; nothing where there is no file.

    A torn last line (the machine died while it was written) is left out.

    Raises:
        StudyError: a line that is not a `what`.
    """
    if not path.exists():
        return []
    found: list[_Line] = []
    with open(path, encoding="utf-8", errors="replace") as lines:
        for number, line in enumerate(lines, 1):
            if not line.endswith("\n"):
                break
            try:
                found.append(make(json.loads(line)))
            except DAMAGED as error:
                raise StudyError(f"{path} line {number} is not a {what}: {error}") from None
    return found


def append_record(path: Path, record: "DataclassInstance") -> None:
    """Add one line, on disk when this returns; a failed write leaves the file as it was."""
    line = json.dumps(asdict(record), separators=(",", ":"), allow_nan=False) + "\n"
    content = line.encode()
    # Unbuffered: a buffer would write the rest of a refused line when the file is closed.
    with open(path, "ab", buffering=0) as file:
        before = file.seek(0, os.SEEK_END)
        try:
            if file.write(content) != len(content):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
            os.fsync(file.fileno())
        except OSError:
            os.truncate(path, before)
            raise


def cut_torn_line(path: Path) -> None:
    """Drop what follows the last newline: a line that a crash left unfinished."""
    if not path.exists():
        return
    content = path.read_bytes()
    if content and not content.endswith(b"\n"):
        os.truncate(path, content.rfind(b"\n") + 1)


def _record(made: dict[str, Any]) -> Record:
    kind: type[Record] = FailureRecord if "kind" in made else TrialRecord
    new = sorted(made.keys() - {each.name for each in fields(kind)})
    if new:
        raise ValueError(
            f"it has {', '.join(new)}, which this version does not know; the study is probably by "
            "a newer version of the toolkit"
        )
    cost = made.get("cost")
    cost = None if cost is None else Cost(**cost)
    record: Record
    if kind is FailureRecord:
        record = FailureRecord(**{**made, "log": tuple(made.get("log", ())), "cost": cost})
    else:
        losses = tuple(float(loss) for loss in made.get("losses", ()))
        record = TrialRecord(**{**made, "cost": cost, "losses": losses})
    _check(record)
    return record


def _check(record: Record) -> None:
    """Refuse values of other types: whoever reads a record has not made it."""
    numbers: dict[str, object] = {"number": record.number}
    if record.cost is not None:
        numbers |= {f"cost.{name}": value for name, value in asdict(record.cost).items()}
    texts: dict[str, object] = {"arch": record.arch}
    if isinstance(record, TrialRecord):
        numbers |= {"seed": record.seed, "fidelity.epochs": record.fidelity["epochs"]}
        if record.cost is None:
            raise TypeError("cost is None; expected what the network costs")
        for name, real in {**record.metrics, **record.seconds}.items():
            if isinstance(real, bool) or not isinstance(real, int | float):
                raise TypeError(f"{name} is {real!r}; expected a number")
            if not math.isfinite(real):
                raise ValueError(f"{name} is {real!r}")
    else:
        texts |= {"kind": record.kind, "error": record.error}
    for name, value in numbers.items():
        if isinstance(value, bool) or not isinstance(value, int):
            raise TypeError(f"{name} is {value!r}; expected a whole number")
        least = 1 if name == "cost.macs" else 0
        if not least <= value < 2**63:
            raise ValueError(f"{name} is {str(value)[:30]}; expected {least} or more, below 2^63")
    for name, value in texts.items():
        if not isinstance(value, str):
            raise TypeError(f"{name} is {value!r}; expected text")
        value.encode()  # half a letter is none
