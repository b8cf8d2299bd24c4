"""What a study leaves on disk: its folder, its lock, and the trials as JSON lines."""

import errno
import fcntl
import hashlib
import json
import os
import platform
import sys
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, TextIO, TypeVar

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from blocks.cost import Cost
from blocks.errors import one_line
from blocks.machine import processor, versions
from search.config.schema import STEERING_FREE, RunConfig
from search.errors import StudyError, did_you_mean

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


@dataclass(frozen=True, slots=True)
class TrialRecord:
    """One trained architecture. `arch` is its spelling, `seconds` by what they went to."""

    number: int
    arch: str
    cost: Cost
    metrics: dict[str, float]
    seed: int
    fidelity: dict[str, int]
    seconds: dict[str, float]
    versions: dict[str, str]

    @property
    def stopped(self) -> bool:
        """Whether a pruner ended the training early; its fidelity says when, and of how much."""
        return "of" in self.fidelity


@dataclass(frozen=True, slots=True)
class FailureRecord:
    """One architecture whose training failed, and how: nan, oom, killed or error."""

    number: int
    arch: str
    kind: str
    error: str


Record = TrialRecord | FailureRecord
_Line = TypeVar("_Line")


def derive_seed(seed: int, *parts: object) -> int:
    """A 63-bit seed from the study's seed and whatever it is for; never from worker order."""
    text = json.dumps([seed, *parts], sort_keys=True, default=str)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def environment() -> dict[str, Any]:
    """The machine and software behind a study's numbers."""
    import torch

    return {
        "command": " ".join(sys.argv),
        "versions": versions(),
        "platform": platform.platform(),
        "processor": processor(),
        "cores": os.cpu_count(),
        "cuda": torch.version.cuda if torch.cuda.is_available() else None,
    }


_BEFORE: Final = {
    "proxy.start_resolution": 1.0, "proxy.precision": "fp32", "workers.device": "cpu",
}  # fmt: skip
"""How studies trained before these were settings; today's defaults are others."""


class StudyFolder:
    """`results_dir/study`: named files, written whole or not at all."""

    def __init__(self, results_dir: str, study: str) -> None:
        self.study = study
        self.path = Path(results_dir).expanduser() / study

    def __truediv__(self, name: str) -> Path:
        return self.path / name

    @property
    def trials(self) -> Path:
        """One JSON line per trained candidate."""
        return self.path / "trials.jsonl"

    def require(self) -> "StudyFolder":
        """This folder, if a search has been here.

        Raises:
            StudyError: there is no such study; names the nearest.
        """
        if not (self.path / "config.yaml").is_file():
            siblings = sorted(path.parent.name for path in self.path.parent.glob("*/config.yaml"))
            known = f"; it holds {', '.join(siblings)}" if siblings else ""
            raise StudyError(
                f"no study {self.study!r} in {self.path.parent}{known}"
                f"{did_you_mean(self.study, siblings)}"
            )
        return self

    def open(self, config: RunConfig, renew: bool = True) -> None:
        """Create the folder, or accept it if it is of the same configuration.

        What may change between two runs is then as in the later one; not so without `renew`.

        Raises:
            StudyError: the folder belongs to another configuration; names the differences.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        if (self / "config.yaml").exists():
            stored = self.read_config()
            differences = [
                f"{key} {old!r} → {new!r}"
                for key, old, new in _differences(stored, config)
                if key not in STEERING_FREE
            ]
            if differences:
                raise StudyError(
                    f"{self.path} is of another configuration ({'; '.join(differences)}); "
                    "give this one another name with study=…, or the old settings"
                )
            if not renew:
                return
        elif self.trials.exists():
            raise StudyError(f"{self.path} holds trials but no config.yaml; move it away")
        self.write("config.yaml", OmegaConf.to_yaml(OmegaConf.structured(config)))

    def read_config(self) -> RunConfig:
        """The configuration the study was made with.

        Raises:
            StudyError: the file is damaged.
        """
        path = self / "config.yaml"
        try:
            stored = OmegaConf.load(path)
            if not stored:
                raise StudyError(f"{path} is empty; the study cannot be told from another")
            for key, value in _BEFORE.items():
                if OmegaConf.select(stored, key, default=None) is None:
                    OmegaConf.update(stored, key, value)
            merged = OmegaConf.merge(OmegaConf.structured(RunConfig), stored)
            config = OmegaConf.to_object(merged)
        except (OmegaConfBaseException, yaml.YAMLError, ValueError) as error:
            raise StudyError(f"{path} is damaged: {one_line(error)}") from None
        assert isinstance(config, RunConfig)
        return config

    def write(self, name: str, content: str | bytes) -> Path:
        """Write a file so that a crash or a full disk leaves the old one whole."""
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.name}.partial")
        try:
            with open(partial, "wb") as file:
                file.write(content if isinstance(content, bytes) else content.encode())
                file.flush()
                os.fsync(file.fileno())
            os.replace(partial, path)
        except OSError:
            partial.unlink(missing_ok=True)
            raise
        return path

    def trained(self) -> list[TrialRecord]:
        """The candidates that were trained, for however long, by trial number."""
        done = [record for record in read_records(self.trials) if isinstance(record, TrialRecord)]
        return sorted(done, key=lambda record: record.number)

    def completed(self) -> list[TrialRecord]:
        """Those that were trained to the end: the ones that compare."""
        return [record for record in self.trained() if not record.stopped]


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
            except (ValueError, TypeError, KeyError) as error:
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


class StudyLock:
    """One running search or fit per study; the lock dies with its process."""

    def __init__(self, folder: StudyFolder) -> None:
        self.path = folder / ".lock"
        self._file: TextIO | None = None

    def __enter__(self) -> "StudyLock":
        self.path.parent.mkdir(parents=True, exist_ok=True)
        file = open(self.path, "a+", encoding="utf-8")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.seek(0)
            holder = file.read().strip() or "another process"
            file.close()
            raise StudyError(f"{self.path.parent} is in use by process {holder}") from None
        file.seek(0)
        file.truncate()
        file.write(str(os.getpid()))
        file.flush()
        self._file = file
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._file is not None
        self._file.close()


def _record(fields: dict[str, Any]) -> Record:
    if "kind" in fields:
        return FailureRecord(**fields)
    return TrialRecord(**{**fields, "cost": Cost(**fields["cost"])})


def _differences(old: RunConfig, new: RunConfig) -> Iterable[tuple[str, Any, Any]]:
    left, right = (
        {
            **_flat(asdict(c)),
            # Written in another way they are the same.
            "objective": c.aim,
            "budget.max_macs": c.max_macs,
            "budget.target": c.cost_budget.target,
            "reward.target_macs": c.target_macs,
        }
        for c in (old, new)
    )
    for key in sorted(left.keys() | right.keys()):
        if left.get(key) != right.get(key):
            yield key, left.get(key), right.get(key)


def _flat(tree: Any, prefix: str = "") -> dict[str, Any]:
    if isinstance(tree, dict):
        items = [(f"{prefix}.{key}" if prefix else str(key), value) for key, value in tree.items()]
    elif isinstance(tree, list) and any(isinstance(item, dict) for item in tree):
        items = [(f"{prefix}[{number}]", value) for number, value in enumerate(tree, 1)]
    else:
        return {prefix: tree}
    flat: dict[str, Any] = {}
    for key, value in items:
        flat.update(_flat(value, key))
    return flat
