"""Judging a network at several resolutions, and what is written of it."""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from blocks.arch import ArchSpec, format_arch
from blocks.subject import Subject
from scaling.config import ResolutionConfig, ScalingConfig
from scaling.listener import SILENT, Listener
from scaling.plot import plot_resolution
from scaling.resolution.network import check_images, network_alone, network_of_study
from scaling.resolution.scores import Score, Trained, judge
from scaling.resolution.sizes import Resized, cost_table, sizes_of
from scaling.resolution.verdict import about_images, about_trained, choose, verdict
from scaling.trainings import run_trainings
from search.config.quality import ACCURACY, Quality
from search.config.quantities import parse_quantity
from search.evaluators.train import make_job
from search.record.folder import StudyFolder, environment
from search.record.trials import TrialRecord
from search.study.study import OpenStudy, Study

RECORDS: Final = "scaling/resolution.jsonl"


@dataclass(frozen=True)
class ResolutionPlan:
    """What will be trained: the network at so many sizes, with so many seeds."""

    sizes: int
    seeds: int
    epochs: int
    quality: Quality = ACCURACY

    @property
    def trainings(self) -> int:
        """All of them."""
        return self.sizes * self.seeds


@dataclass(frozen=True)
class Resolutions:
    """A network at several sizes.

    `scores` are those of its weights, `trained` those of trainings at each size; None where there
    are no weights, or nothing was trained. `said` is the verdict in words. `table` has a row per
    size, as is written to `path`.
    """

    name: str
    arch: ArchSpec
    sizes: tuple[Resized, ...]
    scores: tuple[Score, ...] | None
    trained: tuple[Trained, ...] | None
    budget: int | None
    said: tuple[str, ...]
    table: pd.DataFrame
    path: Path
    quality: Quality = ACCURACY

    @property
    def costs_alone(self) -> bool:
        """Whether nothing is known of accuracy."""
        return self.scores is None and self.trained is None


def resolution(config: ScalingConfig, listener: Listener[ResolutionPlan] = SILENT) -> Resolutions:
    """Write the table of sizes, with accuracies where there are weights or trainings.

    Raises:
        ScalingError, StudyError, ArchError, WeightsError: see the messages.
    """
    settings = config.resolution
    budget = None
    if settings.max_macs is not None:
        budget = parse_quantity("resolution.max_macs", settings.max_macs)
    if config.baseline is not None and config.study is None:
        folder, subject = network_alone(config, config.baseline)
        sizes = sizes_of(subject.arch, subject.num_classes, settings.percents)
        return _write_costs(folder, "resolution", sizes, budget)
    folder = StudyFolder(config.results_dir, config.study or "main").require()
    subject, name = network_of_study(config, folder)
    sizes = sizes_of(subject.arch, subject.num_classes, settings.percents)
    if subject.weights is None and not settings.train:
        return _write_costs(folder, name, sizes, budget)
    with Study.reopen(config.results_dir, folder.study, needs_baseline=False) as study:
        check_images(study, subject)
        scores, trained, said = None, None, []
        quality = study.config.quality
        if subject.weights is not None:
            scores = judge(subject, study.data, sizes, quality)
            said += verdict(sizes, scores, choose(sizes, scores, budget), budget, quality.words)
            said += about_images(study.data.test.images.shape[-2], sizes)
        if settings.train:
            trained = _train(study, sizes, settings, listener)
            said.append(about_trained(sizes, trained, settings.seeds, quality.words))
        found = Resolutions(
            name=subject.name,
            arch=subject.arch,
            sizes=tuple(sizes),
            scores=None if scores is None else tuple(scores),
            trained=None if trained is None else tuple(trained),
            budget=budget,
            said=tuple(said),
            table=_table(sizes, scores, trained, quality),
            path=study.folder / "scaling" / f"{name}.csv",
            quality=quality,
        )
        _write(study, name, subject, found)
    return found


def _train(
    study: OpenStudy,
    sizes: Sequence[Resized],
    settings: ResolutionConfig,
    listener: Listener[ResolutionPlan],
) -> list[Trained]:
    """Means of the network trained by the proxy at every size."""
    epochs, seeds = settings.epochs or study.config.proxy.epochs, settings.seeds
    jobs = [
        (
            replace(
                make_job(format_arch(size.arch), epochs, study.config.seed, replicate),
                test=True,
                long=True,
            ),
            1.0,
        )
        for size in sizes
        for replicate in range(seeds)
    ]
    quality = study.config.quality
    plan = ResolutionPlan(len(sizes), seeds, epochs, quality)
    with listener.begin(plan) as progress:
        records = run_trainings(study, jobs, study.folder / RECORDS, progress)
    found = []
    for number in range(len(sizes)):
        own = records[number * seeds : (number + 1) * seeds]
        trained = [record for record in own if isinstance(record, TrialRecord)]
        means = [
            float(np.mean([quality.of(each.metrics, split) for each in trained]))
            if trained
            else math.nan
            for split in ("val", "test")
        ]
        found.append(Trained(*means))
    return found


def _table(
    sizes: Sequence[Resized],
    scores: Sequence[Score] | None,
    trained: Sequence[Trained] | None,
    quality: Quality,
) -> pd.DataFrame:
    table = cost_table(sizes)
    names = {"val": quality.val, "test": quality.test}
    if scores is not None:
        table = table.join(pd.DataFrame([asdict(score) for score in scores]).rename(columns=names))
    if trained is not None:
        reached = pd.DataFrame([asdict(each) for each in trained]).rename(columns=names)
        table = table.join(reached.add_prefix("trained_"))
    return table


def _write_costs(
    folder: StudyFolder, name: str, sizes: Sequence[Resized], budget: int | None
) -> Resolutions:
    """The costs alone, in a file of this name."""
    table = cost_table(sizes)
    folder.write(f"scaling/{name}.csv", table.to_csv(index=False))
    own = next(size for size in sizes if size.percent == 100)
    path = folder / "scaling" / f"{name}.csv"
    return Resolutions(folder.study, own.arch, tuple(sizes), None, None, budget, (), table, path)


def _write(study: OpenStudy, name: str, subject: Subject, found: Resolutions) -> None:
    study.folder.write(f"scaling/{name}.csv", found.table.to_csv(index=False))
    content = {
        **environment(),
        "arch": format_arch(subject.arch),
        "weights": None if subject.weights is None else str(subject.weights),
        "dataset_sha256": study.data.sha256,
        "val": len(study.data.val),
        "test": len(study.data.test),
        "max_macs": found.budget,
        "verdict": found.said,
        "sizes": json.loads(found.table.to_json(orient="records")),
    }
    study.folder.write(f"scaling/{name}.json", json.dumps(content, indent=2) + "\n")
    title = f"{study.name}: {subject.name} at other resolutions"
    png = plot_resolution(found.table, subject.arch.resolution, found.budget, title, found.quality)
    study.folder.write(f"scaling/{name}.png", png)
