"""The trainings of a fit, a comparison, or other resolutions: by a study's proxy, and resumable."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import torch

from scaling.config import ScalingConfig
from search.config.places import require_executor
from search.data.splits import ImageData
from search.evaluators.batch import run_jobs
from search.evaluators.train import Job, TrainEvaluator
from search.record.folder import StudyFolder
from search.record.trials import Record, derive_seed
from search.study.progress import Progress
from search.study.study import OpenStudy, Study


def run_trainings(
    study: OpenStudy,
    jobs: Sequence[tuple[Job, float]],
    path: Path,
    progress: Progress | None = None,
) -> list[Record]:
    """Train each (job, share of the training images) that the file `path` does not hold yet, at
    its own resolution throughout: images that grow would change what resolution is worth.

    Returns a record per job, in order.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    outcomes: dict[int, Record] = {}
    for fraction in sorted({fraction for _, fraction in jobs}):
        chosen = [number for number, (_, share) in enumerate(jobs) if share == fraction]
        data = part_of(study.data, fraction, study.config.seed)
        config = study.config
        with TrainEvaluator(data, config.training, config.workers, where=study.where) as evaluator:
            work = [(replace(jobs[number][0], long=True), path) for number in chosen]
            records = run_jobs(evaluator, work, progress)
        outcomes |= dict(zip(chosen, records, strict=True))
    return [outcomes[number] for number in range(len(jobs))]


def reopened(config: ScalingConfig) -> AbstractContextManager[OpenStudy]:
    """The study that the settings name, with its lock held, to train more by its proxy, where
    `executor` says if it says something.

    Raises:
        StudyError, ConfigError: see `Study.reopen`; or the executor is not installed.
    """
    study = config.study or "main"
    stored = None
    if config.executor is not None:
        stored = StudyFolder(config.results_dir, study).require().read_config()
        stored = replace(stored, executor=config.executor)
        require_executor(stored.where)
    return Study.reopen(config.results_dir, study, stored)


def part_of(data: ImageData, fraction: float, seed: int) -> ImageData:
    """`data` with this share of the training images of each class, one of each at least; a
    smaller share is part of a larger one."""
    if fraction == 1:
        return data
    generator = torch.Generator().manual_seed(derive_seed(seed, "train_fraction"))
    order = torch.randperm(len(data.train), generator=generator)
    labels = data.train.labels[order]
    kept = []
    for number in range(data.num_classes):
        members = order[labels == number]
        kept.append(members[: max(1, round(fraction * len(members)))])
    rows = torch.cat(kept).sort().values
    return replace(data, train=data.train.rows(rows), folds=None)
