"""Comparing what a study has fitted with other rules, and what is written of it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

from blocks.arch import ArchSpec, format_arch
from scaling.comparison.contenders import FITTED, Contender, Missing, plan, rules_of
from scaling.comparison.judgement import Outcome, judge, verdicts
from scaling.comparison.tables import outcome_table, summary
from scaling.compound import ScalingError
from scaling.config import CompareConfig, ScalingConfig
from scaling.fitting.record import read_fit
from scaling.listener import SILENT, Listener
from scaling.plot import plot_compare
from scaling.trainings import reopened, run_trainings
from search.config.quality import ACCURACY, Quality
from search.errors import StudyError
from search.evaluators.train import Job, make_job
from search.record.folder import environment
from search.record.trials import FailureRecord, TrialRecord, read_records
from search.study.progress import Progress
from search.study.study import OpenStudy
from search.training.schedule import macs_share

RECORDS: Final = "scaling/compare.jsonl"


@dataclass(frozen=True)
class ComparePlan:
    """What a comparison will train.

    `networks` are the different ones, B0 left out; `left` of the `trainings` are still to do, in
    about `seconds`, by the time that B0's own training took (None: it is not known).
    """

    study: str
    contenders: Sequence[Contender]
    missing: Sequence[Missing]
    networks: int
    seeds: int
    epochs: int
    trainings: int
    left: int
    seconds: float | None
    quality: Quality = ACCURACY


@dataclass(frozen=True)
class Comparison:
    """What a comparison found. `failed` are the spellings that are left out, as a training of
    theirs failed; `images` is how many an accuracy was measured on; accuracies are of `quality`."""

    study: str
    folder: Path
    settings: CompareConfig
    outcome: Outcome
    epochs: int
    images: int
    failed: tuple[str, ...]
    quality: Quality = ACCURACY

    @property
    def verdicts(self) -> dict[str, str]:
        """In words, by rule."""
        return verdicts(self.outcome)


def compare(config: ScalingConfig, listener: Listener[ComparePlan] = SILENT) -> Comparison:
    """Train what is missing, write scaling/compare.csv, compare.json and compare.png.

    Raises:
        ScalingError, StudyError: see the messages; what was trained stays on disk.
    """
    if config.baseline is not None or config.coefficients != FITTED:
        raise ScalingError(
            "scaling compare compares what a study has fitted; baseline=… and coefficients=… "
            "belong to scaling emit"
        )
    settings = config.compare
    with reopened(config) as study:
        quality = study.config.quality
        baseline = study.baseline
        fitted = read_fit(study.folder, baseline.arch)
        rules = rules_of(settings, fitted.coefficients, study.config.seed)
        rounding = config.rounding or fitted.rounding or baseline.rounding
        contenders, missing = plan(baseline, rules, settings, rounding)
        epochs = settings.epochs or study.config.proxy.epochs
        jobs = _jobs([baseline.arch, *(each.arch for each in contenders)], epochs, settings, study)
        with listener.begin(_plan(study, contenders, missing, jobs, epochs)) as progress:
            records = _train(study, [job for each in jobs.values() for job in each], progress)
        accuracies = {
            spelling: [quality.of(records[job].metrics, settings.split) for job in each]
            for spelling, each in jobs.items()
            if all(job in records for job in each)
        }
        outcome = judge(contenders, missing, accuracies, settings.seeds)
        found = Comparison(
            study=study.name,
            folder=study.path,
            settings=settings,
            outcome=outcome,
            epochs=epochs,
            images=len(study.data.test if settings.split == "test" else study.data.val),
            failed=tuple(spelling for spelling in jobs if spelling not in accuracies),
            quality=quality,
        )
        _write(study, found)
    return found


def _jobs(
    archs: Sequence[ArchSpec], epochs: int, settings: CompareConfig, study: OpenStudy
) -> dict[str, list[Job]]:
    """The trainings of each different network, by spelling."""
    return {
        spelling: [
            replace(make_job(spelling, epochs, study.config.seed, replicate), test=True, long=True)
            for replicate in range(settings.seeds)
        ]
        for spelling in dict.fromkeys(map(format_arch, archs))
    }


def _plan(
    study: OpenStudy,
    contenders: Sequence[Contender],
    missing: Sequence[Missing],
    jobs: Mapping[str, Sequence[Job]],
    epochs: int,
) -> ComparePlan:
    held = {
        (record.arch, record.seed, record.fidelity["epochs"])
        for record in read_records(study.folder / RECORDS)
        if isinstance(record, TrialRecord)
    }
    everything = [job for each in jobs.values() for job in each]
    left = [job for job in everything if (job.arch, job.seed, job.epochs) not in held]
    return ComparePlan(
        study=study.name,
        contenders=contenders,
        missing=missing,
        networks=len(jobs) - 1,
        seeds=len(next(iter(jobs.values()))),
        epochs=epochs,
        trainings=len(everything),
        left=len(left),
        seconds=_seconds(study, contenders, left, epochs),
        quality=study.config.quality,
    )


def _seconds(
    study: OpenStudy, contenders: Sequence[Contender], left: Sequence[Job], epochs: int
) -> float | None:
    """How long the trainings take by what B0's own took; None where it is not known."""
    spelling = format_arch(study.baseline.arch)
    b0 = next((each for each in study.folder.completed() if each.arch == spelling), None)
    if b0 is None or not b0.seconds.get("train") or not left:
        return None
    costs = {format_arch(each.arch): each.cost.macs for each in contenders}
    macs = sum(costs.get(job.arch, b0.cost.macs) for job in left)
    # The proxy's images grow, those of these trainings do not.
    work = macs_share(study.config.proxy) * b0.fidelity["epochs"] * b0.cost.macs
    each_second = sum(b0.seconds.values()) / work
    return each_second * epochs * macs / max(1, study.config.workers.count)


def _train(study: OpenStudy, jobs: Sequence[Job], progress: Progress) -> dict[Job, TrialRecord]:
    work = [(job, 1.0) for job in jobs]
    outcomes = run_trainings(study, work, study.folder / RECORDS, progress)
    failures = [record for record in outcomes if isinstance(record, FailureRecord)]
    if len(failures) == len(jobs):
        raise StudyError(f"all {len(jobs)} trainings failed; the last: {failures[-1].error}")
    pairs = zip(jobs, outcomes, strict=True)
    return {job: record for job, record in pairs if isinstance(record, TrialRecord)}


def _write(study: OpenStudy, found: Comparison) -> None:
    settings, outcome, baseline = found.settings, found.outcome, study.baseline
    table = outcome_table(outcome, baseline, settings.seeds, found.quality)
    study.folder.write("scaling/compare.csv", table.to_csv(index=False))
    content = {
        **environment(),
        "seed": study.config.seed,
        **asdict(settings),
        "epochs": found.epochs,
        "metric": found.quality.name,
        "images": found.images,
        "dataset_sha256": study.data.sha256,
        "baseline": format_arch(baseline.arch),
        **summary(outcome),
        "verdicts": found.verdicts,
    }
    study.folder.write("scaling/compare.json", json.dumps(content, indent=2) + "\n")
    epochs = f"{found.epochs} epoch{'s' if found.epochs > 1 else ''}"
    title = f"{study.name}: rules at equal macs, {epochs}, {settings.seeds} seeds"
    png = plot_compare(table, settings.split, title, found.quality)
    study.folder.write("scaling/compare.png", png)
