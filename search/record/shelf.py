"""The studies of a results folder: which there are, how far, how large; and taking one away."""

import os
import secrets
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from blocks.errors import CompoundNasError, one_line
from search.errors import StudyError
from search.record.folder import StudyFolder, StudyLock
from search.record.lock import in_use
from search.record.trials import TrialRecord, read_records

HIDDEN: Final = "."
"""How names begin that are no study's."""
REMOVED: Final = f"{HIDDEN}removed-"
RESTORED: Final = f"{HIDDEN}restored-"
"""What `rm` and `restore` put aside until they are done; a lock is on what is in use."""


@dataclass(frozen=True)
class Shelved:
    """A study on disk. `state`: running, done, stopped or damaged, of which `why` says more; `best`
    in words."""

    name: str
    state: str
    trials: int
    asked: int
    best: str
    bytes: int
    why: str = ""


def studies(results_dir: str) -> list[Shelved]:
    """The studies of a folder, by name; what cannot be read is damaged, and no error.

    Raises:
        StudyError: there is no such folder.
    """
    home = Path(results_dir).expanduser()
    if not home.is_dir():
        raise StudyError(f"there is no folder {home}; expected results_dir=FOLDER of studies")
    found = [each for name in ("config.yaml", "trials.jsonl") for each in home.glob(f"*/{name}")]
    names = sorted({each.parent.name for each in found})
    return [_shelved(results_dir, name) for name in names if not name.startswith(HIDDEN)]


def remove(folder: StudyFolder) -> int:
    """Delete a study that nobody uses; how many bytes that frees.

    Raises:
        StudyError: it is in use, or a link.
    """
    if folder.path.is_symlink():
        raise StudyError(
            f"{folder.path} is a link to {folder.path.resolve()}; expected the study itself"
        )
    size = size_of(folder.path)
    with StudyLock(folder):
        # Away at once, so that a kill meanwhile leaves no half of a study.
        gone = folder.path.with_name(f"{REMOVED}{folder.study}-{secrets.token_hex(4)}")
        folder.path.rename(gone)
    clean(folder.path.parent)
    return size


def clean(home: Path) -> None:
    """Delete what an `rm` or a `restore` has left in a results folder when it was killed, and what
    this one has put aside."""
    for left in [*home.glob(f"{REMOVED}*"), *home.glob(f"{RESTORED}*")]:
        if left.is_dir() and not in_use(StudyFolder(str(home), left.name)):
            shutil.rmtree(left, ignore_errors=True)  # which another may be deleting too


def size_of(path: Path) -> int:
    """Bytes of the files in a folder, links not followed."""
    total = 0
    for where, _, names in os.walk(path):
        for name in names:
            try:
                total += os.lstat(os.path.join(where, name)).st_size
            except FileNotFoundError:  # of a study that is running
                continue
    return total


def _shelved(results_dir: str, name: str) -> Shelved:
    folder = StudyFolder(results_dir, name)
    size = size_of(folder.path)
    try:
        config = folder.require().read_config()
        records = read_records(folder.trials)
        trained = [record for record in records if isinstance(record, TrialRecord)]
        best = "none yet"
        if completed := folder.completed():
            from search.study.objective import Objective  # readers of other things need none of it

            objective = Objective.of(config)
            best = objective.describe(objective.best(completed))
        done = (folder / "b0.yaml").exists() and len(trained) >= config.search.trials
        state = "running" if in_use(folder) else "done" if done else "stopped"
        return Shelved(name, state, len(trained), config.search.trials, best, size)
    except (CompoundNasError, OSError) as error:
        return Shelved(name, "damaged", 0, 0, "", size, one_line(error))
