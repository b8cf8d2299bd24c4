"""What a training goes on from, exactly: where it is, and all that has changed on the way."""

import json
import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from blocks.errors import one_line
from scaling.training.setup import Parts
from search.errors import StudyError
from search.training.checkpoint import read_checkpoint, save_whole

LAST = "last.pt"


@dataclass
class Progress:
    """Where a training is. `step` counts all optimizer steps; `position` those within `epoch`
    (from 0), of which `losses` holds each one's. `history` has a row per finished epoch; `best` is
    the one whose weights are kept. `parts`: how many a batch is computed in.
    """

    step: int = 0
    epoch: int = 0
    position: int = 0
    losses: list[float] = field(default_factory=list)
    history: list[dict[str, float]] = field(default_factory=list)
    best: dict[str, float] | None = None
    parts: int = 1
    seconds: float = 0.0
    done: bool = False


def save_checkpoint(path: Path, key: dict[str, Any], progress: Progress, parts: Parts) -> None:
    """Write where a training is.

    Raises:
        StudyError: there is no room for it; the checkpoint before is whole.
    """
    content = {
        "key": json.dumps(key),
        "progress": vars(progress),
        "network": parts.network.state_dict(),
        "average": None if parts.average is None else parts.average.module.state_dict(),
        "optimizer": parts.optimizer.state_dict(),
        "scaler": None if parts.scaler is None else parts.scaler.state_dict(),
        "projection": None if parts.projection is None else parts.projection.state_dict(),
    }
    try:
        save_whole(content, path)
    except OSError as error:
        before = "the checkpoint before it is whole" if path.exists() else "nothing was there yet"
        raise StudyError(
            f"no room for the checkpoint {path} of step {progress.step} "
            f"({error.strerror or one_line(error)}); {before}: make room, and the same command "
            "goes on from it"
        ) from None


def restore(content: dict[str, Any], progress: Progress, parts: Parts) -> None:
    """Go on from what `save_checkpoint` wrote."""
    vars(progress).update(content["progress"])
    parts.network.load_state_dict(content["network"])
    if parts.average is not None:
        parts.average.module.load_state_dict(content["average"])
    parts.optimizer.load_state_dict(content["optimizer"])
    if parts.scaler is not None:
        parts.scaler.load_state_dict(content["scaler"])
    if parts.projection is not None:
        parts.projection.load_state_dict(content["projection"])


def read_last(folder: Path) -> dict[str, Any] | None:
    """The checkpoint in a folder, or None; a damaged one is as good as none."""
    content = read_checkpoint(folder / LAST)
    return content if isinstance(content, dict) and "key" in content else None


def check_key(folder: Path, stored: dict[str, Any], key: dict[str, Any]) -> None:
    """Refuse to go on with a training of other settings.

    Raises:
        StudyError: names what differs.
    """
    known = json.loads(stored["key"])
    wanted = json.loads(json.dumps(key))
    differences = [
        f"{name} {_short(known.get(name))} → {_short(wanted.get(name))}"
        for name in sorted({*known, *wanted})
        if known.get(name) != wanted.get(name)
    ]
    if differences:
        raise StudyError(
            f"{folder} holds a training of other settings ({'; '.join(differences[:4])}); expected "
            "those, name=… for a folder of its own, or fresh=true to begin anew"
        )


def _short(value: Any) -> str:
    text = "none" if value is None else str(value)
    return text if len(text) <= 40 else f"{text[:37]}…"


def check_room(folder: Path, parameters: int) -> None:
    """Refuse to begin where the disk cannot hold what a training leaves.

    Raises:
        StudyError: names how much is there, and how much is needed.
    """
    # Weights, average and two moments of the optimizer, as the old file and the new; the best.
    needed = 4 * parameters * (2 * 4 + 2) + 2**20
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise StudyError(
            f"{os.fspath(folder)} has room for {free / 2**20:,.0f} MiB, but the checkpoints need "
            f"{needed / 2**20:,.0f}"
        )
