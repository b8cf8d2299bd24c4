"""Processes of this machine: each takes one job at a time, and the images lie in memory once.

Two single-threaded processes do more work than one process of two threads.
"""

import contextlib
import faulthandler
import multiprocessing
import os
import sys
import tempfile
from collections.abc import Callable, MutableSequence, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path
from typing import Any, Final

from blocks import messages
from search.config.settled import SettledWorkers
from search.errors import StudyError, TrainingError
from search.evaluators.executors.working import (
    LOG_LINES,
    OVERDUE,
    Limits,
    attempt,
    settle_in,
)
from search.evaluators.process import die_with
from search.evaluators.progress import Epochs
from search.evaluators.spawn import spawn_context
from search.training.device import gpus
from search.training.pulse import tell_to


class Processes:
    """Worker processes that run `work(job)`; it is sent to each once."""

    def __init__(self, work: Callable[[Any], Any], workers: SettledWorkers) -> None:
        self._workers = workers
        self._context = spawn_context()
        # Not the terminal: what a worker says before it dies is part of its failure.
        self._logs = tempfile.TemporaryDirectory(prefix="compound-nas-")
        self._work = work
        self._epochs: MutableSequence[int] = []
        self._pool = self._start()

    def _start(self) -> ProcessPoolExecutor:
        for log in Path(self._logs.name).iterdir():  # of workers that have gone
            log.unlink(missing_ok=True)
        if multiprocessing.get_start_method(allow_none=True) == "loky":
            # Inside a joblib worker (hydra/launcher=joblib): a spawned child is told its
            # parent's start method, and knows no loky.
            multiprocessing.set_start_method("spawn", force=True)
        # Two numbers of each worker, which it alone writes.
        self._epochs = self._context.Array("i", 2 * self._workers.count, lock=False)
        return ProcessPoolExecutor(
            self._workers.count,
            mp_context=self._context,
            initializer=_start_worker,
            initargs=(
                self._work,
                self._workers.threads,
                gpus(self._workers.device),
                self._context.Value("i", 0),
                Limits.of(self._workers),
                os.getpid(),
                messages.shown(),
                Path(self._logs.name),
                self._epochs,
            ),
        )

    def submit(self, job: Any) -> "Future[Any]":
        """Queue a job; where a worker has died, in new ones.

        Raises:
            StudyError: no worker can be started.
        """
        try:
            return self._pool.submit(_run, job)
        except BrokenProcessPool:
            self._pool.shutdown(wait=False)
            self._pool = self._start()
            return self._pool.submit(_run, job)
        except RuntimeError as error:  # torch, where it cannot place the images in shared memory
            raise StudyError(
                f"cannot share the images with the training processes: {error} (is the shared "
                "memory of this machine, /dev/shm, too small?)"
            ) from None

    def running(self) -> Sequence[Epochs]:
        """Epochs done, and of how many, of each training that runs now."""
        pairs = zip(self._epochs[::2], self._epochs[1::2], strict=True)
        return [(done, whole) for done, whole in pairs if whole]

    def death(self) -> TrainingError:
        """What to say of a job whose worker died: by what the last that said something said."""
        said: list[str] = []
        with contextlib.suppress(OSError):
            logs = sorted(Path(self._logs.name).iterdir(), key=lambda path: path.stat().st_mtime)
            texts = [path.read_text(encoding="utf-8", errors="replace") for path in logs]
            said = next((text.splitlines() for text in reversed(texts) if text.strip()), [])
        if any(line.startswith(OVERDUE) for line in said):
            reason = f"not done in workers.minutes={self._workers.minutes:g}, nor did it answer"
            # Its threads, the first of the process at the end, what each does at the top.
            last = max(place for place, line in enumerate(said) if line.startswith(_THREAD))
            return TrainingError("timeout", reason, said[last + 1 :][:LOG_LINES])
        reason = "the training process died (killed, or out of memory)"
        return TrainingError("killed", reason, said[-LOG_LINES:])

    def close(self, at_once: bool) -> None:
        """Stop the workers; `at_once` ends jobs in progress instead of awaiting them."""
        if at_once:
            for process in list((self._pool._processes or {}).values()):
                process.terminate()
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._logs.cleanup()


_THREAD: Final = ("Thread ", "Current thread ", OVERDUE)
_work: Callable[[Any], Any] | None = None
_limits = Limits()
_epochs: MutableSequence[int] = []
_place = 0
"""Of this worker's two numbers in `_epochs`, the first."""


def _start_worker(
    work: Callable[[Any], Any],
    threads: int,
    devices: tuple[int, ...],
    started: "Synchronized[int]",
    limits: Limits,
    parent: int,
    shows_messages: bool,
    logs: Path,
    epochs: MutableSequence[int],
) -> None:
    global _work, _limits, _epochs, _place
    with started.get_lock():
        number = started.value
        started.value += 1
    _log_to(logs / f"{number}-{os.getpid()}.log")
    settle_in(threads, devices[number % len(devices)] if devices else None, limits, shows_messages)
    die_with(parent)
    _work, _limits = work, limits
    _epochs, _place = epochs, 2 * number
    tell_to(_tell)


def _tell(done: int, whole: int) -> None:
    if _place < len(_epochs):  # a pool that replaces a worker has more than it has places
        _epochs[_place], _epochs[_place + 1] = done, whole


def _log_to(path: Path) -> None:
    sys.stderr.flush()
    with open(path, "wb", buffering=0) as file:
        os.dup2(file.fileno(), 2)
    faulthandler.enable()


def _run(job: Any) -> Any:
    assert _work is not None
    try:
        return attempt(_work, job, _limits)
    finally:
        _tell(0, 0)
