"""`python -m search scores`: do zero-cost proxies rank a study's architectures as training did?"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pandas as pd

from blocks.messages import say
from search.assess.statistics import rank_correlation, spearman_difference
from search.config.quality import ACCURACY, Quality
from search.config.schema import RunConfig
from search.errors import StudyError
from search.evaluators.batch import run_jobs
from search.evaluators.progress import Silent
from search.evaluators.train import make_job
from search.evaluators.zero_cost import ZeroCostEvaluator
from search.record.folder import StudyFolder
from search.record.trials import Record, TrialRecord
from search.study.study import OpenStudy, Study
from search.training.zero_cost import BASELINES, SCORES

LEAST: Final = 5
"""Architectures below which a rank correlation says nothing."""


@dataclass(frozen=True)
class Scores:
    """`table`: a row per architecture, its `quality`, costs and zero-cost scores."""

    study: Study
    table: pd.DataFrame
    file: Path
    quality: Quality = ACCURACY

    @property
    def verdict(self) -> str:
        """Which scores, if any, rank better than the better of params and macs, in words."""
        return verdict(self.table, self.quality)


def scores(results_dir: str, study: str, config: RunConfig | None = None) -> Scores:
    """Score what a study has trained, and write scores.csv.

    `config` is the study's; where the images are and how many workers score may differ. What
    scores.jsonl holds is not scored again.

    Raises:
        DataError, StudyError: see the messages; finished scores stay on disk.
    """
    folder = StudyFolder(results_dir, study).require()
    stored = config or folder.read_config()
    if stored.evaluator != "train":
        raise StudyError(
            f"{folder.path} was judged by evaluator={stored.evaluator}; expected a study whose "
            "candidates were trained, as that is what the scores are compared with"
        )
    trained = {record.arch: record for record in folder.completed()}
    _require(len(trained), f"{folder.path} has {len(trained)} trained architectures")
    with Study.reopen(results_dir, study, stored, needs_baseline=False) as opened:
        scored = _score(opened, {arch: record.number for arch, record in trained.items()})
        _require(len(scored), f"{folder.path} has {len(scored)} architectures with finite scores")
        table = pd.DataFrame(
            {
                "trial": trained[record.arch].number,
                stored.quality.val: stored.quality.of(trained[record.arch].metrics),
                "params": record.cost.params,
                "macs": record.cost.macs,
                **{name: record.metrics[name] for name in SCORES},
                "arch": record.arch,
            }
            for record in scored
        )
        folder.write("scores.csv", table.to_csv(index=False))
    return Scores(Study(folder), table, folder / "scores.csv", stored.quality)


def verdict(table: pd.DataFrame, quality: Quality = ACCURACY) -> str:
    """Which scores, if any, rank better than the better of params and macs, in words.

    A score does where the 95% interval of its paired difference in rho is above 0.
    """
    accuracy = table[quality.val]
    by_rho = {name: rank_correlation(table[name], accuracy).rho for name in BASELINES}
    known = {name: rho for name, rho in by_rho.items() if not math.isnan(rho)}
    if not known:
        return "params and macs rank nothing here: they, or the accuracies, are all the same"
    better = max(known, key=known.__getitem__)
    said = []
    for name in SCORES:
        difference = spearman_difference(table[name], table[better], accuracy)
        low, high = difference.interval
        if low > 0:
            said.append(f"{name} by {difference.value:.2f} ({low:.2f} to {high:.2f})")
    baseline = f"{better} (rho {known[better]:.2f}), the better of {' and '.join(BASELINES)}"
    if said:
        return f"better than {baseline}: {', '.join(said)}"
    return f"no score is better than {baseline}: no interval of the difference is above 0"


class _Counted(Silent):
    """Says now and then how many are scored."""

    def __init__(self) -> None:
        self._finished = 0

    def one_more(self, record: Record, work: int) -> None:
        self._finished += 1
        if self._finished % 20 == 0:
            say(f"scored {self._finished} architectures")


def _score(study: OpenStudy, trials: Mapping[str, int]) -> list[TrialRecord]:
    """Scores of networks, of each of which this is the trial, by spelling."""
    config, path = study.config, study.folder / "scores.jsonl"
    work = [(make_job(arch, 0, config.seed), path) for arch in trials]
    say(f"scores of {len(trials)} architectures; those in {path} are taken from there")
    with ZeroCostEvaluator(study.data, config.workers, config.seed) as evaluator:
        outcomes = run_jobs(evaluator, work, _Counted())
    scored = [record for record in outcomes if isinstance(record, TrialRecord)]
    for record in outcomes:
        if not isinstance(record, TrialRecord):
            say(
                f"left out, as it could not be scored: trial {trials[record.arch]} ({record.error})"
            )
    return scored


def _require(count: int, said: str) -> None:
    if count < LEAST:
        raise StudyError(f"{said}; expected {LEAST} or more, to rank them by")
