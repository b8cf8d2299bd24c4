"""What a fit works on, and how it trains: a study's B0, images and proxy."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import torch

from scaling.config import ScalingConfig
from search.commands.progress import TrialProgress
from search.config.settled import SettledConfig
from search.data.splits import ImageData, Split
from search.evaluators.batch import run_jobs
from search.evaluators.train import Job, TrainEvaluator
from search.record.folder import StudyFolder
from search.record.trials import Record, TrialRecord, derive_seed
from search.study.baseline import Baseline

RUNS: Final = "scaling/runs.jsonl"
"""In a study's folder: every training of a fit, of either method."""


@dataclass(frozen=True)
class Setting:
    """A study, the settings of the fit, and where the time went so far."""

    config: ScalingConfig
    folder: StudyFolder
    run: SettledConfig
    baseline: Baseline
    rounding: str
    data: ImageData
    seconds: dict[str, float]


def run_trainings(
    setting: Setting, jobs: Sequence[tuple[Job, float]], what: str
) -> list[TrialRecord | None]:
    """Train each (job, share of the training images) that `RUNS` does not hold yet, at its own
    resolution throughout: images that grow would change what resolution is worth.

    Returns a record per job, in order; None for one that failed.
    """
    started = time.perf_counter()
    path = setting.folder / RUNS
    path.parent.mkdir(parents=True, exist_ok=True)
    outcomes: dict[int, Record] = {}
    with TrialProgress(what, len(jobs)) as progress:
        for fraction in sorted({fraction for _, fraction in jobs}):
            chosen = [number for number, (_, share) in enumerate(jobs) if share == fraction]
            data = part_of(setting.data, fraction, setting.run.seed)
            with TrainEvaluator(data, setting.run.training, setting.run.workers) as evaluator:
                work = [(replace(jobs[n][0], long=True), path) for n in chosen]
                records = run_jobs(evaluator, work, progress.one_more)
            outcomes |= dict(zip(chosen, records, strict=True))
    setting.seconds[f"train the {what}"] = time.perf_counter() - started
    found = (outcomes[number] for number in range(len(jobs)))
    return [record if isinstance(record, TrialRecord) else None for record in found]


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
    pixels = data.train.images.permute(0, 2, 3, 1).index_select(0, rows).permute(0, 3, 1, 2)
    return replace(data, train=Split(pixels, data.train.labels[rows]))
