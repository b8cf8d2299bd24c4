"""Evaluation by training: the real thing, in worker processes.

A worker trains one candidate after the other on its own threads (two single-threaded processes
train more than one process of two threads). The images lie in memory once, shared.
"""

import math
import multiprocessing
import os
import signal
import time
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Protocol

import torch
from torch.multiprocessing import get_context

from blocks.arch import parse_arch
from blocks.cost import Cost, referee
from blocks.errors import one_line
from search.config import ProxyConfig, WorkersConfig
from search.data import ImageData, prepare
from search.errors import StudyError, TrainingError
from search.process import die_with
from search.record import derive_seed
from search.training import evaluate, save_whole, train


@dataclass(frozen=True, slots=True)
class Job:
    """One training: an architecture's spelling, how long, with which seed.

    `epochs` is the whole schedule; `until` ends it earlier, and leaves at `checkpoint` what a job
    with a later end goes on from. `test` also reads the test split; `save` is where the weights
    go.
    """

    arch: str
    epochs: int
    seed: int
    test: bool = False
    save: str | None = None
    until: int | None = None
    checkpoint: str | None = None

    @property
    def fidelity(self) -> dict[str, int]:
        """How much was spent on the training, and of how much if it ended early."""
        if self.until is None or self.until == self.epochs:
            return {"epochs": self.epochs}
        return {"epochs": self.until, "of": self.epochs}


def make_job(arch: str, epochs: int, seed: int, replicate: int = 0) -> Job:
    """A job whose seed follows from (study's seed, architecture, fidelity, replicate)."""
    return Job(arch, epochs, derive_seed(seed, arch, {"epochs": epochs}, replicate))


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What a job measured: fvcore-refereed cost, metrics, seconds by what they were spent on."""

    cost: Cost
    metrics: dict[str, float]
    seconds: dict[str, float]


class Evaluator(Protocol):
    """Whoever trains a job."""

    def evaluate(self, job: Job) -> "Future[Evaluation]":
        """Queue a job."""


class TrainEvaluator:
    """A pool of training processes; a context manager.

    `evaluate(job)` returns a future of the job's `Evaluation`. A job's failure is a
    `TrainingError` with its kind: nan, oom, error, or killed where a worker died.
    """

    def __init__(self, data: ImageData, proxy: ProxyConfig, workers: WorkersConfig) -> None:
        self.workers = workers
        self._arguments = (data, proxy, workers.threads, os.getpid())
        self._pool = self._start()

    def _start(self) -> ProcessPoolExecutor:
        if multiprocessing.get_start_method(allow_none=True) == "loky":
            # Inside a joblib worker (hydra/launcher=joblib): a spawned child is told its
            # parent's start method, and knows no loky.
            multiprocessing.set_start_method("spawn", force=True)
        # spawn: a forked child would inherit torch's thread pools in an undefined state.
        return ProcessPoolExecutor(
            self.workers.count,
            mp_context=get_context("spawn"),
            initializer=_start_worker,
            initargs=self._arguments,
        )

    def __enter__(self) -> "TrainEvaluator":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close(at_once=kind is not None)

    def close(self, at_once: bool) -> None:
        """Stop the workers; `at_once` ends trainings in progress instead of awaiting them."""
        if at_once:
            for process in list((self._pool._processes or {}).values()):
                process.terminate()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def evaluate(self, job: Job) -> "Future[Evaluation]":
        """Queue a job.

        Raises:
            StudyError: no worker can be started.
        """
        try:
            return self._pool.submit(_run_job, job)
        except BrokenProcessPool:
            self._pool.shutdown(wait=False)
            self._pool = self._start()
            return self._pool.submit(_run_job, job)
        except RuntimeError as error:  # torch, where it cannot place the images in shared memory
            raise StudyError(
                f"cannot share the images with the training processes: {error} (is the shared "
                "memory of this machine, /dev/shm, too small?)"
            ) from None


def outcome(evaluator: Evaluator, job: Job, future: "Future[Evaluation]") -> Evaluation:
    """The future's evaluation, awaited.

    One dying worker takes every training in flight with it, so each is tried once more, alone:
    then the guilty one fails and its neighbours do not.

    Raises:
        TrainingError: the job failed; a dead worker (out of memory, killed) is kind `killed`.
    """
    try:
        return future.result()
    except BrokenProcessPool:
        try:
            return evaluator.evaluate(job).result()
        except BrokenProcessPool:
            reason = "the training process died (killed, or out of memory)"
            raise TrainingError("killed", reason) from None


_state: tuple[ImageData, ProxyConfig] | None = None


def _start_worker(data: ImageData, proxy: ProxyConfig, threads: int, parent: int) -> None:
    global _state
    # Ctrl-C reaches the whole process group; only the parent decides what happens then.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    die_with(parent)
    torch.set_num_threads(threads)
    _state = data, proxy


def _run_job(job: Job) -> Evaluation:
    assert _state is not None
    data, proxy = _state
    try:
        return run_job(job, data, proxy)
    except TrainingError:
        raise
    except MemoryError as error:
        raise TrainingError("oom", str(error) or "out of memory") from None
    except (RuntimeError, ValueError) as error:
        message = one_line(error)
        kind = "oom" if "allocate memory" in message or "out of memory" in message else "error"
        raise TrainingError(kind, message) from None


def run_job(job: Job, data: ImageData, proxy: ProxyConfig) -> Evaluation:
    """Train and measure one architecture in this process.

    fvcore counts the trained network and must agree with the arithmetic count.

    Raises:
        TrainingError: the loss stopped being a number.
    """
    arch = parse_arch(job.arch)
    batches = prepare(data, arch.resolution)
    result = train(
        arch,
        data.num_classes,
        batches,
        proxy,
        job.epochs,
        job.seed,
        until=job.until,
        checkpoint=None if job.checkpoint is None else Path(job.checkpoint),
    )
    metrics = {"val_accuracy": result.val_accuracy, "val_loss": result.val_loss}
    metrics["train_loss"] = result.train_loss[-1]
    seconds = {"train": result.train_seconds, "eval": result.eval_seconds}
    if job.test:
        metrics["test_accuracy"], metrics["test_loss"] = evaluate(
            result.network, batches, batches.test
        )
        if not math.isfinite(metrics["test_loss"]):
            raise TrainingError("nan", f"the test loss became {metrics['test_loss']}")
    started = time.perf_counter()
    cost = referee(result.network)
    seconds["fvcore"] = time.perf_counter() - started
    if job.save is not None:
        save_whole(result.network.state_dict(), Path(job.save))
    return Evaluation(cost, metrics, seconds)
