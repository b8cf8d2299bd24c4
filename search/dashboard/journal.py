"""A copy of a study's journal in memory: it follows the file, and what is added stays out of it."""

import json
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from optuna.storages.journal import BaseJournalBackend


class Followed(BaseJournalBackend):
    """The operations of a journal's file, which is only read, with those that are appended here
    after them. What is added to the file meanwhile comes at the next reading."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0
        self._logs: list[dict[str, Any]] = []
        self._lock = threading.Lock()

    def read_logs(self, log_number_from: int) -> Iterable[dict[str, Any]]:
        """Operations from this number on.

        Raises:
            ValueError: a line of the file is none.
        """
        with self._lock:
            self._follow()
            return self._logs[log_number_from:]

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Add operations, to be forgotten with this object."""
        with self._lock:
            self._logs += [json.loads(json.dumps(log)) for log in logs]

    def _follow(self) -> None:
        with self._path.open("rb") as file:
            file.seek(self._offset)
            content = file.read()
        whole = content[: content.rfind(b"\n") + 1]  # a line that is being written comes later
        self._logs += [json.loads(line) for line in whole.splitlines()]
        self._offset += len(whole)
