"""Evaluation by weight sharing: the supernet is trained once, a candidate is a slice of it."""

import math
import time
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from pathlib import Path
from typing import Final

import torch

from blocks.arch import parse_arch
from blocks.console import duration
from blocks.cost import count
from blocks.messages import say
from search.config.places import HERE, Where
from search.config.settled import SettledConfig, SettledWorkers
from search.config.steps import SupernetConfig
from search.data.batches import prepare
from search.data.splits import ImageData
from search.errors import StudyError, TrainingError
from search.evaluators.pool import WorkerPool
from search.evaluators.process import await_any, deferred_interrupts
from search.evaluators.train import Evaluation, Job
from search.record.folder import StudyFolder
from search.space.members import SpaceCandidates
from search.training.checkpoint import read_checkpoint, save_whole
from search.training.supernet import Supernet
from search.training.train_supernet import judge, train_supernet

FILE: Final = "supernet.pt"
"""In a study's folder: the trained supernet."""


class SupernetEvaluator(WorkerPool[Job, Evaluation]):
    """A pool of judging processes; a context manager.

    `evaluate(job)` returns a future of an `Evaluation` whose metrics are a subnet's; the job's
    epochs and seed play no part. Failures are those of `TrainEvaluator`.
    """

    def __init__(
        self,
        supernet: Supernet,
        data: ImageData,
        settings: SupernetConfig,
        workers: SettledWorkers,
        where: Where = HERE,
    ) -> None:
        work = partial(judge_job, supernet=supernet, data=data, images=settings.calibration_images)
        super().__init__(work, workers, where)


def judge_job(job: Job, supernet: Supernet, data: ImageData, images: int) -> Evaluation:
    """Judge one architecture in this process, at its own resolution.

    Raises:
        ConfigError: it is no subnet.
        TrainingError: its loss is not a number.
    """
    started = time.perf_counter()
    arch = parse_arch(job.arch)
    scores = judge(supernet, arch, prepare(data, arch.image), images)
    if not math.isfinite(scores.loss):
        raise TrainingError("nan", f"the validation loss became {scores.loss}")
    cost = count(arch, data.num_classes)
    return Evaluation(cost, scores.metrics("val"), {"eval": time.perf_counter() - started})


def obtain_supernet(
    config: SettledConfig, data: ImageData, folder: StudyFolder, candidates: SpaceCandidates
) -> Supernet:
    """The study's supernet: read from supernet.pt, or trained, to the end of what was begun.

    Raises:
        StudyError: the training failed.
        KeyboardInterrupt: somebody asked to stop; the epochs so far are on disk.
    """
    path = folder / FILE
    stored = read_checkpoint(path)
    if stored is None:
        (folder / "checkpoints").mkdir(exist_ok=True)
        _train(config, data, path, folder / "checkpoints" / FILE, candidates)
        stored = read_checkpoint(path)
    if stored is None:
        raise StudyError(f"{path} cannot be read back")
    say(f"supernet: {path}, trained in {duration(stored['seconds'])}")
    return Supernet(stored["tensors"], stored["num_classes"])


def _train(
    config: SettledConfig,
    data: ImageData,
    path: Path,
    checkpoint: Path,
    candidates: SpaceCandidates,
) -> None:
    """Train in one process with the threads of all workers, which have nothing to do yet."""
    settings = config.supernet
    say(f"training the supernet: {settings.epochs} epochs, {settings.samples} members a batch")
    work = partial(_run, config=config, data=data, path=path, candidates=candidates)
    threads = config.workers.count * config.workers.threads
    with WorkerPool(work, SettledWorkers(1, threads)) as pool, deferred_interrupts():
        future = pool.evaluate(checkpoint)
        await_any([future])
        try:
            future.result()
        except TrainingError as error:
            raise StudyError(f"the supernet's training failed ({error.kind}): {error}") from None
        except BrokenProcessPool:
            raise StudyError(
                "the supernet's training process died (killed, or out of memory); the same command "
                "goes on from its last epoch"
            ) from None
    checkpoint.unlink(missing_ok=True)


def _run(
    checkpoint: Path,
    config: SettledConfig,
    data: ImageData,
    path: Path,
    candidates: SpaceCandidates,
) -> None:
    def tell(epoch: int, loss: float, seconds: float) -> None:
        left = seconds * (config.supernet.epochs - epoch)
        say(
            f"supernet epoch {epoch}/{config.supernet.epochs}  loss {loss:.4f}  "
            f"{seconds:.1f} s  [{duration(left)} left]",
        )

    supernet, seconds = train_supernet(
        candidates, data, config.training, config.supernet, config.seed, checkpoint, tell
    )
    content = {
        "tensors": supernet.tensors,
        "num_classes": supernet.num_classes,
        "seconds": seconds,
        "threads": torch.get_num_threads(),
    }
    save_whole(content, path)
