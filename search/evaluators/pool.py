"""Workers that the evaluators share: each holds the images and takes one job at a time."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from importlib import import_module
from types import TracebackType
from typing import Any, Final, Generic, Protocol, Self, TypeVar

from search.config.places import HERE, Where, require_executor
from search.config.settled import SettledWorkers
from search.errors import TrainingError
from search.evaluators.executors.processes import Processes
from search.evaluators.progress import Epochs

_Job = TypeVar("_Job")
_Result = TypeVar("_Result")


class Executor(Protocol):
    """Where jobs run."""

    def submit(self, job: Any) -> "Future[Any]":
        """Queue a job."""

    def death(self) -> TrainingError:
        """What to say of a job whose worker died."""

    def close(self, at_once: bool) -> None:
        """Stop the workers; `at_once` ends jobs in progress instead of awaiting them."""


REMOTE: Final = {
    "ray": "search.evaluators.executors.on_ray",
    "submitit": "search.evaluators.executors.on_slurm",
}
"""Executors of extras: a module with `make(work, workers, where)`, imported when asked for."""


class WorkerPool(Generic[_Job, _Result]):
    """Workers that run `work(job)`; a context manager.

    `work` is a function of a module, or a `functools.partial` of one: it is sent to every worker
    once, its tensors through shared memory or a file. `workers.count` is 1 or more
    (`plan_workers`). `where` they run: processes of this machine, unless it says otherwise.
    """

    def __init__(
        self, work: Callable[[_Job], _Result], workers: SettledWorkers, where: Where = HERE
    ) -> None:
        require_executor(where)
        self.workers = workers
        self._executor: Executor
        if where.executor == "processes":
            self._executor = Processes(work, workers)
        else:
            self._executor = import_module(REMOTE[where.executor]).make(work, workers, where)

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
        self._executor.close(at_once)

    def evaluate(self, job: _Job) -> "Future[_Result]":
        """Queue a job. Its failure is a `TrainingError` with its kind.

        Raises:
            StudyError: no worker can be started.
        """
        return self._executor.submit(job)

    def running(self) -> Sequence[Epochs]:
        """Epochs done, and of how many, of each training that runs now: of processes of this
        machine. Workers elsewhere say nothing before their end."""
        return self._executor.running() if isinstance(self._executor, Processes) else ()

    def death(self) -> TrainingError:
        """What to say of a job whose worker died, and died again at a second try."""
        return self._executor.death()
