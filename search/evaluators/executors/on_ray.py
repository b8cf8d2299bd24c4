"""Tasks of Ray: on this machine, or on a cluster that runs.

What a worker does, with its images, is put into Ray's object store once; each node holds it in
memory that its workers share. A job is a task of its own. Ray begins it again where its worker or
its node dies, and ends it where this process does.
"""

import logging
import math
import os
import pickle
import signal
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Final

import torch

from blocks import messages
from blocks.errors import one_line
from search.config.places import RayConfig, Where
from search.config.settled import SettledWorkers
from search.errors import StudyError, TrainingError
from search.evaluators.executors.packing import pack, unpack
from search.evaluators.executors.paths import anywhere
from search.evaluators.executors.working import Limits, attempt, settle_in

STARTS: Final = 3
"""Tries to start Ray on this machine."""


def make(work: Callable[[Any], Any], workers: SettledWorkers, where: Where) -> "OnRay":
    """Connect to the cluster, or start one; see `OnRay`."""
    return OnRay(work, workers, where.ray)


def connect(config: RayConfig, cores: int, gpus: int) -> tuple[Any, bool]:
    """Ray, connected, and whether it was not before; one of this machine alone has so many cores
    and GPUs, and no ears for others.

    Raises:
        StudyError: there is no such cluster, or none can be started.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # it tells nobody
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    if config.address is None:
        # As the other executor, where 15 is what Ray gives its workers.
        os.environ.setdefault("RAY_worker_niceness", "0")
        # Without it Ray listens on the machine's own address, for other nodes.
        os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
    import ray  # an extra, which reads these variables
    from ray._private import ray_constants

    if config.address is None:
        ray_constants.ENABLE_RAY_CLUSTER = False  # where somebody has imported it before
    if ray.is_initialized():
        return ray, False
    own: dict[str, Any] = {"address": config.address}
    if config.address is None:
        own = {"address": "local", "num_cpus": cores, "num_gpus": gpus, "include_dashboard": False}
    handler = signal.getsignal(signal.SIGTERM)
    for left in reversed(range(STARTS)):
        try:
            ray.init(
                **own, log_to_driver=False, logging_level=logging.ERROR, configure_logging=False
            )
            break
        except Exception as error:  # Ray has no class of its own for this
            ray.shutdown()
            if left and config.address is None and "timed out" in str(error):
                continue  # Ray waits for half a minute, which a busy machine may take
            what = f"ray.address={config.address}: no cluster answers"
            if config.address is None:
                what = "executor=ray: Ray cannot be started on this machine"
            raise StudyError(f"{what} ({one_line(error)[:200]})") from None
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, handler)  # a polite kill is the caller's matter
    return ray, True


def room(config: RayConfig, threads: int, gpu: bool) -> int:
    """How many workers the running cluster has room for; one at least.

    Raises:
        StudyError: there is no such cluster.
    """
    found = connect(config, 1, 0)[0].cluster_resources()
    by_cores = int(found.get("CPU", 1)) // threads
    by_cards = int(found.get("GPU", 0) / config.gpus) if gpu else by_cores
    return max(1, min(by_cores, by_cards))


class OnRay:
    """Tasks that run `work(job)`, with `workers.threads` cores, and a GPU where they use one."""

    def __init__(
        self, work: Callable[[Any], Any], workers: SettledWorkers, config: RayConfig
    ) -> None:
        gpu = workers.device.startswith("cuda")
        count, share = workers.count, config.gpus if gpu else 0
        cores, cards = count * workers.threads, 0
        if gpu and config.address is None:  # no more than there are: workers share them
            cards = torch.cuda.device_count()
            share = min(share, math.floor(1e4 / math.ceil(count / max(1, cards))) / 1e4)
        self._ray, self._started = connect(config, cores, cards)
        self._retries = config.retries
        self._packed = self._ray.put(pack(work))
        self._settings = (workers.threads, gpu, Limits.of(workers), messages.shown())
        self._task = self._ray.remote(
            num_cpus=workers.threads, num_gpus=share, max_retries=config.retries
        )(_run)
        self._waiting: dict[Future[Any], Any] = {}

    def submit(self, job: Any) -> "Future[Any]":
        """Queue a task."""
        future: Future[Any] = Future()
        # In a list, the work is fetched by the task, once in each process, and not for it.
        reference = self._task.remote([self._packed], self._settings, anywhere(job))
        self._waiting[future] = reference
        reference.future().add_done_callback(lambda done: self._settle(future, done))
        return future

    def _settle(self, future: "Future[Any]", done: "Future[Any]") -> None:
        self._waiting.pop(future, None)
        try:
            failed, found = pickle.loads(done.result())
        except BaseException as error:  # in a thread: whoever waits for the result hears of it
            failed, found = True, self._explained(error)
        if failed:
            future.set_exception(found)
        else:
            future.set_result(found)

    def _explained(self, error: BaseException) -> BaseException:
        errors = self._ray.exceptions
        tries = f" {self._retries + 1} times" if self._retries else ""
        for kind, what, types in (
            ("node", f"the node was lost{tries}", (errors.NodeDiedError, errors.ObjectLostError)),
            ("oom", f"Ray ended the training{tries}: too little memory", errors.OutOfMemoryError),
            ("killed", f"the training process died{tries}", errors.WorkerCrashedError),
            ("killed", "the training was cancelled", errors.TaskCancelledError),
        ):
            if isinstance(error, types):
                return TrainingError(kind, what, [one_line(error)[:500]])
        if isinstance(error, errors.RayError):
            return TrainingError("node", one_line(error)[:500])
        return error

    def death(self) -> TrainingError:
        """What to say of a job whose worker died; Ray says it of each job itself."""
        return TrainingError("killed", "the training process died")

    def close(self, at_once: bool) -> None:
        """Cancel what waits, and with `at_once` what runs; end a cluster that was started here."""
        for reference in list(self._waiting.values()):
            self._ray.cancel(reference, force=at_once)
        if self._started:
            self._ray.shutdown()


_known: dict[str, tuple[Callable[[Any], Any], Any]] = {}
"""In a worker: the work that it has unpacked, by its reference. Workers serve one study."""


def _run(packed: list[Any], settings: tuple[int, bool, Limits, bool], job: Any) -> bytes:
    """A task: whether it failed, and its result or its failure."""
    threads, gpu, limits, shows_messages = settings
    key = packed[0].hex()
    if key not in _known:
        import ray

        if not _known:
            settle_in(threads, 0 if gpu else None, limits, shows_messages)
        _known.clear()
        stored = ray.get(packed[0])
        _known[key] = unpack(*stored), stored
    try:
        return pickle.dumps((False, attempt(_known[key][0], job, limits)))
    except Exception as error:
        return pickle.dumps((True, error))
