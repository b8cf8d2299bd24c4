"""A whole search: trials, the choice of B0, its final training, the files that people read."""

import json
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from blocks.images.walk import describe_passed, passed_csv
from blocks.messages import say
from blocks.names import counted
from blocks.native.library import why_not
from search.config.schema import RunConfig
from search.config.settled import SettledConfig
from search.data.classes import Majority, describe_classes, majority_of
from search.data.folds import advise
from search.errors import StudyError
from search.evaluators.pool import WorkerPool
from search.evaluators.supernet import SupernetEvaluator, obtain_supernet
from search.evaluators.train import Evaluation, Job, TrainEvaluator
from search.look.linear_probe import Probe
from search.space.budget import cost_budget
from search.space.latency_budget import describe_latency
from search.study.baseline import write_baseline
from search.study.controls import Controls, train_controls
from search.study.final import FinalRound, train_final
from search.study.front import write_front
from search.study.loop import Tally, TrialLoop
from search.study.prior import zero_cost_prior
from search.study.probe import obtain_probe
from search.study.progress import Show, silent
from search.study.settle import LEAST_STEPS, steps_an_epoch
from search.study.start import START
from search.study.study import OpenStudy, Study
from search.training.device import compiled, wants_compiled

PARTS: Final = {"train": "train", "eval": "validate", "fvcore": "fvcore referee"}
"""What a training's seconds are spent on, and how a table of times calls it."""

SKIPPED: Final = "skipped.csv"
"""Of a study: the files that were not read, and why."""


@dataclass(frozen=True)
class SearchResult:
    """What a search came to. `probe`: what a straight line makes of the pixels. `majority`: a class
    that more than half of the test images have. `seconds`: where the time went, by step."""

    study: Study
    tally: Tally
    last: FinalRound
    controls: Controls | None
    probe: Probe | None
    majority: Majority | None
    seconds: dict[str, float]


def search(config: RunConfig, show: Show = silent) -> SearchResult:
    """Run a study, or go on with it, until its trials are complete and its B0 is written.

    Raises:
        ConfigError, DataError, StudyError: see the messages; what was done stays on disk.
    """
    started = time.monotonic()
    with Study.open(config) as study:
        seconds = {"read the data": study.opening_seconds}
        for line in _introduction(study):
            say(line)
        if study.data.passed:
            study.folder.write(SKIPPED, passed_csv(study.data.passed))
        enqueued = list(study.start)
        if study.config.search.zero_cost:
            with _timed(seconds, "zero-cost scores"):
                prior = zero_cost_prior(study)
                if not (study.folder / START).exists():
                    enqueued += prior.starting_points(
                        study.members, study.config.search.zero_cost_top
                    )
        # Whole before the first trial: a study that goes on begins as it began.
        study.folder.write(START, json.dumps(enqueued) + "\n")
        return _train_all(study, enqueued, seconds, show, started)


def _train_all(
    study: OpenStudy,
    enqueued: list[dict[str, Any]],
    seconds: dict[str, float],
    show: Show,
    started: float,
) -> SearchResult:
    config, data, folder = study.config, study.data, study.folder
    supernet = None
    if config.needs_supernet:
        with _timed(seconds, "supernet"):
            supernet = obtain_supernet(config, data, folder, study.members)
    where = study.where
    with TrainEvaluator(data, config.training, config.workers, supernet, where) as evaluator:
        if config.evaluator == "supernet":
            assert supernet is not None
            workers, settings = config.workers, config.supernet
            with SupernetEvaluator(supernet, data, settings, workers, where) as judge:
                tally = _run_trials(study, enqueued, judge, seconds, show)
        else:
            tally = _run_trials(study, enqueued, evaluator, seconds, show)
        records = folder.completed()
        if not records:
            raise StudyError(f"{folder.path}: no candidate was trained ({tally.ended_early})")
        with _timed(seconds, "final round"):
            minutes = config.search.minutes
            until = None if minutes is None else started + 60 * minutes
            last = train_final(config, data, folder, evaluator, records, until, show)
        with _timed(seconds, "controls"):
            controls = train_controls(config, folder, evaluator, study.members, show)
    with _timed(seconds, "report"):
        write_baseline(config, data, folder, last, controls)
        write_front(config, folder)
        probe = obtain_probe(config, data, folder)
    majority = majority_of(data, config.quality)
    return SearchResult(Study(folder), tally, last, controls, probe, majority, seconds)


def _run_trials(
    study: OpenStudy,
    enqueued: list[dict[str, Any]],
    evaluator: WorkerPool[Job, Evaluation],
    seconds: dict[str, float],
    show: Show,
) -> Tally:
    config, folder = study.config, study.folder
    before = folder.trained()
    if before:
        say(f"going on with {len(before)} candidates from {folder.path}")
    started = time.perf_counter()
    limit = None if config.trial_minutes is None else 60 * config.trial_minutes
    trials = config.search.trials
    with show("trial", trials, len(before), study.objective, limit) as progress:
        progress.watch(evaluator.running)
        for record in before:
            progress.known(record)
        loop = TrialLoop(config, study.members, folder, evaluator, progress, enqueued)
        try:
            tally = loop.run()
        except BaseException:
            # Ctrl-C included: the front of what was done is worth having.
            if folder.completed():
                write_front(config, folder)
            raise
    spent = time.perf_counter() - started
    seconds["propose"] = tally.seconds["ask"]
    seconds["count"] = tally.seconds["count"]
    known = {record.number for record in before}
    worked = [record for record in folder.trained() if record.number not in known]
    # Workers overlap; what they did is shown as its share of the wall clock.
    wall = max(0.0, spent - seconds["propose"] - seconds["count"])
    parts = {name: sum(record.seconds.get(name, 0.0) for record in worked) for name in PARTS}
    whole = sum(parts.values()) or 1.0
    for name, label in PARTS.items():
        seconds[label] = wall * parts[name] / whole
    return tally


def _introduction(study: OpenStudy) -> list[str]:
    """What is about to be searched, and anything a user should mind, in lines."""
    config, data = study.config, study.data
    channels = {1: "grey", 3: "RGB"}.get(data.in_channels, f"{data.in_channels}-channel")
    what = "labels" if data.several else "classes"
    lines = [
        f"{data.name}: {len(data.train)} train, {len(data.val)} val, {len(data.test)} test "
        f"{channels} images, {data.num_classes} {what}; proxy.resolution={config.proxy.size}",
        *describe_classes(config, data),
        *advise(config, len(data.train), len(data.val)),
    ]
    device = config.workers.device
    if wants_compiled(config.proxy, device) and not compiled(config.proxy, device):
        lines.append(
            f"no compiled operators ({why_not()}): training by PyTorch's own, which takes about "
            "twice as long"
        )
    lines += data.notes
    if data.passed:
        reasons = describe_passed(data.passed)
        where = study.folder / SKIPPED
        lines.append(f"passed over {counted(len(data.passed), 'file')}: {reasons}; see {where}")
    lines.append(
        f"space: {len(study.members.space):,} combinations; budget {cost_budget(config)}; "
        f"sampler {config.sampler}, objective {config.steered_by}; results in {study.folder.path}"
    )
    return lines + _too_short(config, len(data.train)) + describe_latency(study.members)


def _too_short(config: SettledConfig, images: int) -> list[str]:
    """That candidates are compared after too few steps to tell, if they are."""
    epochs = config.short_epochs
    each = steps_an_epoch(config, images)
    if config.evaluator != "train" or epochs * each >= LEAST_STEPS:
        return []
    wanted = math.ceil(LEAST_STEPS / each) * config.proxy.epochs // epochs
    return [
        f"candidates are first compared after {epochs * each} steps, which says little of networks "
        f"that train for long; {LEAST_STEPS} steps take proxy.epochs={wanted}"
    ]


@contextmanager
def _timed(seconds: dict[str, float], step: str) -> Iterator[None]:
    """Adds how long a step takes to a table, also where it fails."""
    started = time.perf_counter()
    try:
        yield
    finally:
        seconds[step] = time.perf_counter() - started
