"""`python -m search fidelity`: how far can the short proxy be trusted to rank architectures?

Random members of the space are trained by the proxy and by a longer schedule, some of them with
several seeds. A proxy that ranks them as the long schedule does may choose; one that does not
only spends time (EcoNAS, Zhou et al. 2020; "NAS evaluation is frustratingly hard", 1912.12522).
"""

import json
import math
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from blocks.messages import say
from search.assess.statistics import Correlation, rank_correlation
from search.assess.trust import Trust, judge, judge_supernet
from search.config.schema import RunConfig
from search.config.settled import SettledConfig
from search.errors import StudyError
from search.evaluators.batch import run_jobs
from search.evaluators.supernet import SupernetEvaluator, obtain_supernet
from search.evaluators.train import Job, TrainEvaluator, make_job
from search.plot import plot_fidelity
from search.record.folder import environment
from search.record.trials import FailureRecord, TrialRecord, derive_seed
from search.space.latency_budget import describe_latency
from search.space.members import draw_members, too_few
from search.study.objective import Objective
from search.study.progress import Show, silent
from search.study.study import OpenStudy, Study
from search.training.supernet import Supernet

LEAST: Final = 5
"""Architectures below which ranks say nothing."""


@dataclass(frozen=True)
class Fidelity:
    """What was found. `table`: a row per architecture, accuracies (or what else networks are
    judged by) as fractions; `supernet`: how far its order can be trusted, where it was asked about.
    """

    study: Study
    config: SettledConfig
    trust: Trust
    table: pd.DataFrame
    supernet: Trust | None
    files: tuple[Path, ...]

    @property
    def supernet_with_proxy(self) -> Correlation:
        """The supernet's accuracies with the proxy's."""
        return rank_correlation(self.table["supernet"], self.table["proxy"])

    @property
    def supernet_by_loss(self) -> Correlation:
        """The supernet's losses with the long schedule's accuracies."""
        return rank_correlation(-self.table["supernet_loss"], self.table["long"])


def fidelity(config: RunConfig, show: Show = silent) -> Fidelity:
    """Train what is missing, write fidelity.csv, fidelity.json and fidelity.png.

    Raises:
        ConfigError, DataError, StudyError: see the messages; what was trained stays on disk.
    """
    with Study.open(config, searching=False) as study:
        settled, members = study.config, study.members
        number, seed = settled.fidelity.architectures, derive_seed(settled.seed, "fidelity")
        spellings = draw_members(members, number, seed)
        if len(spellings) < LEAST:
            raise too_few(members.budget, len(spellings), LEAST)
        for line in describe_latency(members):
            say(line)
        supernet = None
        if settled.needs_supernet or settled.fidelity.supernet:
            supernet = obtain_supernet(settled, study.data, study.folder, members)
        records = _train(study, spellings, supernet, show)
        table = _table(settled, spellings, records)
        if len(table) < LEAST:
            raise StudyError(f"{len(table)} architectures were trained; expected {LEAST} or more")
        noise = _replicates(settled, spellings, records)
        quality = settled.quality
        trust = judge(table, *noise, quality.words)
        shared = None
        if settled.evaluator == "supernet" or settled.fidelity.supernet:
            assert supernet is not None
            judged = _judge(study, list(table["arch"]), supernet)
            table["supernet"] = [quality.of(record.metrics) for record in judged]
            table["supernet_loss"] = [quality.loss_of(record.metrics) for record in judged]
            shared = judge_supernet(table, noise[1], quality.words)
        names = ("fidelity.csv", "fidelity.json", "fidelity.png")
        files = tuple(study.folder / name for name in names)
        found = Fidelity(Study(study.folder), settled, trust, table, shared, files)
        _write(found)
    return found


def _write(found: Fidelity) -> None:
    folder, config = found.study.folder, found.config
    folder.write("fidelity.csv", found.table.to_csv(index=False))
    content = {**environment(), "seed": config.seed, **asdict(config.fidelity)}
    content |= {"proxy_epochs": config.proxy.epochs, "long_epochs": config.long_epochs}
    content |= {**asdict(found.trust), "verdict": found.trust.verdict}
    if found.supernet is not None:
        content["supernet"] = {
            **asdict(found.supernet),
            "verdict": found.supernet.verdict,
            "with_proxy": asdict(found.supernet_with_proxy),
            "by_loss": asdict(found.supernet_by_loss),
        }
    folder.write("fidelity.json", json.dumps(_finite(content), indent=2) + "\n")
    title = f"{config.study}: {config.proxy.epochs} against {config.long_epochs} epochs"
    folder.write("fidelity.png", plot_fidelity(found.table, title, config.quality))


def _judge(study: OpenStudy, spellings: list[str], supernet: Supernet) -> list[TrialRecord]:
    config, folder = study.config, study.folder
    jobs = [
        (make_job(spelling, 0, config.seed), folder / "fidelity.jsonl") for spelling in spellings
    ]
    workers, where = config.workers, study.where
    with SupernetEvaluator(supernet, study.data, config.supernet, workers, where) as evaluator:
        records = run_jobs(evaluator, jobs)
    for record in records:
        if isinstance(record, FailureRecord):
            raise StudyError(f"the supernet could not judge {record.arch}: {record.error}")
    return [record for record in records if isinstance(record, TrialRecord)]


def _train(
    study: OpenStudy, spellings: list[str], supernet: Supernet | None, show: Show
) -> dict[Job, TrialRecord]:
    config = study.config
    jobs = _jobs(config, spellings)
    say(
        f"{len(spellings)} random architectures at {config.proxy.epochs} and at "
        f"{config.long_epochs} epochs, {min(config.fidelity.repeated, len(spellings))} of them "
        f"with {config.fidelity.seeds} seeds: {len(jobs)} trainings"
    )
    with (
        TrainEvaluator(
            study.data, config.training, config.workers, supernet, study.where
        ) as evaluator,
        show("training", len(jobs), 0, Objective.by(config.quality)) as progress,
    ):
        work = [(job, study.folder / "fidelity.jsonl") for job in jobs]
        outcomes = run_jobs(evaluator, work, progress)
    pairs = zip(jobs, outcomes, strict=True)
    return {job: record for job, record in pairs if isinstance(record, TrialRecord)}


def _jobs(config: SettledConfig, spellings: list[str]) -> list[Job]:
    return [
        _job(config, spelling, epochs, replicate)
        for number, spelling in enumerate(spellings)
        for epochs in (config.proxy.epochs, config.long_epochs)
        for replicate in range(config.fidelity.seeds if number < config.fidelity.repeated else 1)
    ]


def _job(config: SettledConfig, spelling: str, epochs: int, replicate: int = 0) -> Job:
    """A training by the proxy, which may inherit, or by the long schedule, which does not."""
    job = make_job(spelling, epochs, config.seed, replicate)
    is_proxy = epochs == config.proxy.epochs
    return replace(job, inherit=config.inherits and is_proxy, long=not is_proxy)


def _table(
    config: SettledConfig, spellings: list[str], records: dict[Job, TrialRecord]
) -> pd.DataFrame:
    """A row per architecture that both schedules trained: what its first seeds reached."""
    rows = []
    for spelling in spellings:
        found = [
            [
                config.quality.of(records[job].metrics)
                for replicate in range(config.fidelity.seeds)
                if (job := _job(config, spelling, epochs, replicate)) in records
            ]
            for epochs in (config.proxy.epochs, config.long_epochs)
        ]
        first = [
            records.get(_job(config, spelling, epochs))
            for epochs in (config.proxy.epochs, config.long_epochs)
        ]
        if first[0] is None or first[1] is None:
            continue
        rows.append(
            {
                "proxy": config.quality.of(first[0].metrics),
                "long": config.quality.of(first[1].metrics),
                "proxy_std": float(np.std(found[0], ddof=1)) if len(found[0]) > 1 else np.nan,
                "long_std": float(np.std(found[1], ddof=1)) if len(found[1]) > 1 else np.nan,
                "params": first[0].cost.params,
                "macs": first[0].cost.macs,
                "arch": spelling,
            }
        )
    return pd.DataFrame(rows)


def _replicates(
    config: SettledConfig, spellings: list[str], records: dict[Job, TrialRecord]
) -> tuple[float, float]:
    """Variance of one training over seeds, pooled over the repeated, of both schedules."""
    noise = []
    for epochs in (config.proxy.epochs, config.long_epochs):
        variances = []
        for spelling in spellings[: config.fidelity.repeated]:
            seeds = range(config.fidelity.seeds)
            jobs = [_job(config, spelling, epochs, replicate) for replicate in seeds]
            found = [config.quality.of(records[job].metrics) for job in jobs if job in records]
            if len(found) > 1:
                variances.append(float(np.var(found, ddof=1)))
        noise.append(float(np.mean(variances)) if variances else 0.0)
    return noise[0], noise[1]


def _finite(value: Any) -> Any:
    """JSON has no nan: null."""
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
