"""Evaluation without training: the zero-cost scores of an architecture, in worker processes."""

import time
from functools import partial

from blocks.arch import parse_arch
from blocks.cost import count
from search.config.settled import SettledWorkers
from search.data.batches import prepare
from search.data.splits import ImageData
from search.evaluators.pool import WorkerPool
from search.evaluators.train import Evaluation, Job
from search.training.zero_cost import draw_batch, score


class ZeroCostEvaluator(WorkerPool[Job, Evaluation]):
    """A pool of scoring processes; a context manager.

    `evaluate(job)` returns a future of an `Evaluation` whose metrics are the scores, `params` and
    `macs`. `seed` draws the batch, the same for every architecture, from the training split;
    `job.seed` draws the weights. Failures are those of `TrainEvaluator`.
    """

    def __init__(self, data: ImageData, workers: SettledWorkers, seed: int = 0) -> None:
        super().__init__(partial(score_job, data=data, batch_seed=seed), workers)


def score_job(job: Job, data: ImageData, batch_seed: int) -> Evaluation:
    """Score one architecture in this process, at its own resolution.

    Raises:
        DataError, TrainingError: see `search.zero_cost.score`.
    """
    arch = parse_arch(job.arch)
    images, labels = draw_batch(prepare(data, arch.image), batch_seed)
    started = time.perf_counter()
    scores = score(arch, data.num_classes, images, labels, job.seed)
    seconds = {"scores": time.perf_counter() - started}
    return Evaluation(count(arch, data.num_classes), scores, seconds)
