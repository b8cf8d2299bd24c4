"""Evaluation by training: the real thing, in worker processes."""

import math
import time
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final, Protocol

from blocks.arch import parse_arch
from blocks.cost import Cost, count, referee
from search.config.places import HERE, Where
from search.config.schema import ProxyConfig
from search.config.settled import SettledWorkers
from search.data.batches import Batches, prepare_folds
from search.data.splits import ImageData
from search.errors import TrainingError
from search.evaluators.executors.working import TRANSIENT
from search.evaluators.pool import WorkerPool
from search.evaluators.process import await_any
from search.record.trials import derive_seed
from search.training.checkpoint import save_whole
from search.training.device import compiled, kind_of, resolve_device
from search.training.evaluate import evaluate
from search.training.outcomes import outcomes_of
from search.training.supernet import Supernet
from search.training.train import train


@dataclass(frozen=True, slots=True)
class Job:
    """One training: an architecture's spelling, how long, with which seed.

    `epochs` is the whole schedule; `until` ends it earlier, and leaves at `checkpoint` what a job
    with a later end goes on from. `test` also reads the test split; `save` is where the weights
    go, `outcomes` where what it makes of each single image, the temperature being that of the
    classes alike with `balanced`. `inherit`: begin with the weights that
    the evaluator's supernet has for it. `long`: not the proxy but what it stands for, at the full
    resolution throughout. `fold`: which fold is held out, where there are any.
    """

    arch: str
    epochs: int
    seed: int
    test: bool = False
    save: str | None = None
    outcomes: str | None = None
    balanced: bool = False
    until: int | None = None
    checkpoint: str | None = None
    inherit: bool = False
    long: bool = False
    fold: int = 0

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
    """What a job measured: exact cost, metrics, seconds by what they were spent on, the mean
    training loss of each epoch."""

    cost: Cost
    metrics: dict[str, float]
    seconds: dict[str, float]
    losses: tuple[float, ...] = ()


class Evaluator(Protocol):
    """Whoever trains a job, or scores it untrained."""

    def evaluate(self, job: Job) -> "Future[Evaluation]":
        """Queue a job."""


class TrainEvaluator(WorkerPool[Job, Evaluation]):
    """A pool of training processes; a context manager.

    `evaluate(job)` returns a future of the job's `Evaluation`. A job's failure is a
    `TrainingError` with its kind. `where` the workers are: processes of this machine, Ray's tasks,
    or jobs of Slurm.
    """

    def __init__(
        self,
        data: ImageData,
        proxy: ProxyConfig,
        workers: SettledWorkers,
        supernet: Supernet | None = None,
        where: Where = HERE,
    ) -> None:
        # Which of the GPUs is each worker's own matter.
        device = kind_of(resolve_device(workers.device, where.elsewhere))
        compiled(proxy, device)  # built here, once, and not by every worker at the same time
        # Here too, once, are the images brought to the resolution that most networks have.
        batches = prepare_folds(data, proxy.size)
        work = partial(
            run_job, data=data, proxy=proxy, supernet=supernet, device=device, shared=batches
        )
        super().__init__(work, workers, where)


RETRIES: Final = 3
"""Of a training whose worker died: as many as by Ray and by Slurm."""


def outcome(evaluator: Evaluator, job: Job, future: "Future[Evaluation]") -> Evaluation:
    """The future's evaluation, awaited.

    One dying worker takes every training in flight with it, so each is tried again, alone, up to
    `RETRIES` times: then the guilty one fails and its neighbours do not.

    Raises:
        TrainingError: the job failed; a dead worker (out of memory, killed) is kind `killed`.
    """
    died = TrainingError("killed", "the training process died")
    for _ in range(RETRIES):
        try:
            return future.result()
        except BrokenProcessPool:
            future = evaluator.evaluate(job)
            await_any([future])  # within reach of Ctrl-C
        if isinstance(future.exception(), BrokenProcessPool) and isinstance(evaluator, WorkerPool):
            died = evaluator.death()
            if died.kind not in TRANSIENT:
                raise died  # it hangs, and would again
    try:
        return future.result()
    except BrokenProcessPool:
        raise died from None


def run_job(
    job: Job,
    data: ImageData,
    proxy: ProxyConfig,
    supernet: Supernet | None = None,
    device: str = "cpu",
    shared: tuple[Batches, ...] | None = None,
) -> Evaluation:
    """Train and measure one architecture in this process; `shared` are the images at the proxy's
    resolution, one for each fold, others are made of `data`.

    fvcore counts the trained network and must agree with the arithmetic count; once is enough for
    a training in pieces.

    Raises:
        TrainingError: the loss stopped being a number.
    """
    arch = parse_arch(job.arch)
    if shared is not None and arch.image == proxy.size:
        batches = shared[job.fold]
    else:
        batches = prepare_folds(data, arch.image)[job.fold]
    checkpoint = None if job.checkpoint is None else Path(job.checkpoint)
    if job.long:
        proxy = replace(proxy, start_resolution=1.0)
    confirmed = checkpoint is not None and checkpoint.exists()  # by the piece that left it
    result = train(
        arch,
        data.num_classes,
        batches,
        proxy,
        job.epochs,
        job.seed,
        until=job.until,
        checkpoint=checkpoint,
        initial=supernet.state(arch) if job.inherit and supernet is not None else None,
        device=device,
    )
    metrics = {**result.val.metrics("val"), "train_loss": result.train_loss[-1]}
    seconds = {"train": result.train_seconds, "eval": result.eval_seconds}
    if job.test:
        metrics |= evaluate(result.network, batches, batches.test).metrics("test")
        if not math.isfinite(metrics["test_loss"]):
            raise TrainingError("nan", f"the test loss became {metrics['test_loss']}")
    if job.outcomes is not None:
        outcomes_of(result.network, batches, job.balanced).save(Path(job.outcomes))
    result.network.cpu()
    started = time.perf_counter()
    cost = count(arch, data.num_classes) if confirmed else referee(result.network)
    seconds["fvcore"] = time.perf_counter() - started
    if job.save is not None:
        save_whole(result.network.state_dict(), Path(job.save))
    losses = tuple(float(f"{loss:.5g}") for loss in result.train_loss)
    return Evaluation(cost, metrics, seconds, losses)
