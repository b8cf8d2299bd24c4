"""`python -m search scores`: do zero-cost proxies rank a study's architectures as training did?"""

import math
from typing import Final

import pandas as pd
from rich.table import Table

from blocks.console import console
from search.assess.statistics import partial_spearman, rank_correlation, spearman_difference
from search.config.schema import RunConfig
from search.data.datasets import load_data
from search.data.splits import ImageData
from search.errors import StudyError
from search.evaluators.batch import run_jobs
from search.evaluators.train import make_job
from search.evaluators.zero_cost import ZeroCostEvaluator
from search.record.trials import Record, StudyFolder, StudyLock, TrialRecord
from search.study.run import check_data
from search.training.zero_cost import BASELINES, SCORES

LEAST: Final = 5
"""Architectures below which a rank correlation says nothing."""


def compare_scores(folder: StudyFolder, config: RunConfig) -> pd.DataFrame:
    """Score what a study has trained; write scores.csv, print what the scores are worth.

    `config` is the study's; where the images are and how many workers score may differ.

    Returns the table: a row per architecture. What scores.jsonl holds is not scored again.

    Raises:
        DataError, StudyError: see the messages; finished scores stay on disk.
    """
    if config.evaluator != "train":
        raise StudyError(
            f"{folder.path} was judged by evaluator={config.evaluator}; expected a study whose "
            "candidates were trained, as that is what the scores are compared with"
        )
    trained = {record.arch: record for record in folder.completed()}
    _require(len(trained), f"{folder.path} has {len(trained)} trained architectures")
    data = load_data(config.dataset, config.proxy.resolution)
    with StudyLock(folder):
        check_data(folder, data)
        scored = _score(config, data, folder, list(trained))
        _require(len(scored), f"{folder.path} has {len(scored)} architectures with finite scores")
        table = pd.DataFrame(
            {
                "trial": trained[record.arch].number,
                "val_accuracy": trained[record.arch].metrics["val_accuracy"],
                "params": record.cost.params,
                "macs": record.cost.macs,
                **{name: record.metrics[name] for name in SCORES},
                "arch": record.arch,
            }
            for record in scored
        )
        folder.write("scores.csv", table.to_csv(index=False))
    console.print(_correlations(table, folder.study))
    console.print(verdict(table))
    return table


def verdict(table: pd.DataFrame) -> str:
    """Which scores, if any, rank better than the better of params and macs, in words.

    A score does where the 95% interval of its paired difference in rho is above 0.
    """
    accuracy = table["val_accuracy"]
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


def _score(
    config: RunConfig, data: ImageData, folder: StudyFolder, archs: list[str]
) -> list[TrialRecord]:
    path = folder / "scores.jsonl"
    work = [(make_job(arch, 0, config.seed), path) for arch in archs]
    finished = 0

    def done(record: Record) -> None:
        nonlocal finished
        finished += 1
        if finished % 20 == 0:
            console.print(f"scored {finished} architectures")

    console.print(f"scores of {len(archs)} architectures; those in {path} are taken from there")
    with ZeroCostEvaluator(data, config.workers, config.seed) as evaluator:
        outcomes = run_jobs(evaluator, work, done)
    scored = [record for record in outcomes if isinstance(record, TrialRecord)]
    for record in outcomes:
        if not isinstance(record, TrialRecord):
            console.print(f"left out ({record.error}): {record.arch}", markup=False)
    return scored


def _correlations(table: pd.DataFrame, study: str) -> Table:
    screen = Table(
        title=f"{study}'s {len(table)} architectures: ranks by score against val accuracy, with "
        "95% bootstrap intervals; partial: after params and macs",
        title_justify="left",
    )
    for name in ("score", "Spearman rho", "Kendall tau", "partial rho"):
        screen.add_column(name, justify="left" if name == "score" else "right", overflow="fold")
    accuracy = table["val_accuracy"]
    for name in (*SCORES, *BASELINES):
        found = rank_correlation(table[name], accuracy)
        partial = partial_spearman(table[name], accuracy, [table[each] for each in BASELINES])
        screen.add_row(
            name,
            _cell(found.rho, found.rho_interval),
            _cell(found.tau, found.tau_interval),
            _cell(partial.value, partial.interval),
        )
    return screen


def _cell(value: float, interval: tuple[float, float]) -> str:
    if math.isnan(value):
        return "–"
    low, high = interval
    return f"{value:.2f} ({low:.2f}, {high:.2f})"


def _require(count: int, said: str) -> None:
    if count < LEAST:
        raise StudyError(f"{said}; expected {LEAST} or more, to rank them by")
