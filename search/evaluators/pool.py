"""Worker processes that the evaluators share: each holds the images and takes one job at a time.

Two single-threaded processes do more work than one process of two threads. The images lie in
memory once, shared.
"""

import gc
import multiprocessing
import os
import signal
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

import torch
import torch.multiprocessing  # its tensors travel through shared memory

from blocks import messages
from blocks.errors import one_line
from search.config.settled import SettledWorkers
from search.errors import StudyError, TrainingError
from search.evaluators.process import die_with, keep_memory
from search.evaluators.spawn import spawn_context

_Job = TypeVar("_Job")
_Result = TypeVar("_Result")


class WorkerPool(Generic[_Job, _Result]):
    """Processes that run `work(job)`; a context manager.

    `work` is a function of a module, or a `functools.partial` of one: it is sent to every worker
    once, its tensors through shared memory. `workers.count` is 1 or more (`plan_workers`).
    """

    def __init__(self, work: Callable[[_Job], _Result], workers: SettledWorkers) -> None:
        self.workers = workers
        self._arguments = (work, workers.threads, os.getpid(), messages.shown())
        self._pool = self._start()

    def _start(self) -> ProcessPoolExecutor:
        if multiprocessing.get_start_method(allow_none=True) == "loky":
            # Inside a joblib worker (hydra/launcher=joblib): a spawned child is told its
            # parent's start method, and knows no loky.
            multiprocessing.set_start_method("spawn", force=True)
        return ProcessPoolExecutor(
            self.workers.count,
            mp_context=spawn_context(),
            initializer=_start_worker,
            initargs=self._arguments,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close(at_once=kind is not None)

    def close(self, at_once: bool) -> None:
        """Stop the workers; `at_once` ends jobs in progress instead of awaiting them."""
        if at_once:
            for process in list((self._pool._processes or {}).values()):
                process.terminate()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def evaluate(self, job: _Job) -> "Future[_Result]":
        """Queue a job. Its failure is a `TrainingError` with its kind: nan, oom or error.

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


_work: Callable[[Any], Any] | None = None


def _start_worker(
    work: Callable[[Any], Any], threads: int, parent: int, shows_messages: bool
) -> None:
    global _work
    if shows_messages:
        messages.show()
    # Ctrl-C reaches the whole process group; only the parent decides what happens then.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    die_with(parent)
    keep_memory()
    torch.set_num_threads(threads)
    torch.backends.cudnn.deterministic = True  # the same seed, the same network
    # What is loaded by now stays: a training step need not look through it for garbage.
    gc.collect()
    gc.freeze()
    _work = work


def _run(job: Any) -> Any:
    assert _work is not None
    try:
        return _work(job)
    except TrainingError:
        raise
    except MemoryError as error:
        raise TrainingError("oom", str(error) or "out of memory") from None
    except (RuntimeError, ValueError, LookupError) as error:
        message = one_line(error)
        kind = "oom" if "allocate memory" in message or "out of memory" in message else "error"
        if kind == "error" and isinstance(error, torch.AcceleratorError):
            # Nothing works on a device after a fault of it, in this process: the job is tried once
            # more in a new one, and the next ones are not blamed.
            os._exit(1)
        raise TrainingError(kind, message) from None
