"""Controls: what random members of the space reach by the same proxy, beside every search."""

from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from scipy.stats import norm

from blocks.arch import format_arch
from blocks.messages import say
from search.config.quality import ACCURACY, Quality
from search.config.settled import SettledConfig
from search.evaluators.batch import run_jobs
from search.evaluators.train import TrainEvaluator, make_job
from search.record.folder import StudyFolder
from search.record.trials import TrialRecord, derive_seed
from search.space.members import SpaceCandidates
from search.study.objective import Objective
from search.study.progress import Show, silent

LEAST: Final = 3
"""Controls below which their spread is not known."""


@dataclass(frozen=True)
class Controls:
    """Random members of the space within the budget, trained by the proxy like any candidate.

    `trials` is how many candidates the search trained: a random search of as many would be
    expected to find `expected_best`, by the order statistics of a normal distribution
    (Blom 1958) with the controls' mean and deviation, each network trained once. `reached` is the
    `quality` of each on the validation images.
    """

    reached: tuple[float, ...]
    trials: int
    quality: Quality = ACCURACY

    @property
    def mean(self) -> float:
        """Mean validation accuracy, or of what else they are judged by."""
        return float(np.mean(self.reached))

    @property
    def deviation(self) -> float:
        """Sample standard deviation; 0 of a single one."""
        return float(np.std(self.reached, ddof=1)) if len(self.reached) > 1 else 0.0

    @property
    def expected_best(self) -> float | None:
        """Of the best of `trials` random members; None of too few to know a spread."""
        if len(self.reached) < LEAST:
            return None
        quantile = (self.trials - 0.375) / (self.trials + 0.25)
        return float(self.mean + self.deviation * norm.ppf(quantile))

    def describe(self) -> str:
        """For people."""
        said = (
            f"  {len(self.reached)} random networks within the budget, same proxy: val "
            f"{self.quality.words} {self.mean:.4f} in the mean, {max(self.reached):.4f} the best"
        )
        if self.expected_best is None:
            return said
        return (
            f"{said}; the best of {self.trials} would be expected to reach {self.expected_best:.4f}"
        )

    def to_mapping(self) -> dict[str, Any]:
        """The numbers, for b0.yaml."""
        name = self.quality.val
        return {
            "networks": len(self.reached),
            f"{name}_mean": self.mean,
            f"{name}_std": self.deviation,
            f"{name}_best": max(self.reached),
            "expected_best_of": self.trials,
            f"{name}_expected_best": self.expected_best,
        }


def train_controls(
    config: SettledConfig,
    folder: StudyFolder,
    evaluator: TrainEvaluator,
    candidates: SpaceCandidates,
    show: Show = silent,
) -> Controls | None:
    """Train random members by the proxy; the same ones however the search went."""
    if not config.search.controls:
        return None
    generator = np.random.default_rng(derive_seed(config.seed, "controls"))
    spellings = [
        format_arch(candidates.network(candidates.decode(code))[0])
        for code in candidates.sample(config.search.controls, generator)
    ]
    # Twice the same network would count twice in the spread, which its own noise is part of.
    jobs = [
        (
            replace(make_job(spelling, config.proxy.epochs, config.seed), inherit=config.inherits),
            folder / "controls.jsonl",
        )
        for spelling in dict.fromkeys(spellings)
    ]
    say(f"training {len(jobs)} random networks by the proxy, as controls")
    with show("control", len(jobs), objective=Objective.of(config)) as progress:
        outcomes = run_jobs(evaluator, jobs, progress)
    records = [one for one in outcomes if isinstance(one, TrialRecord)]
    if not records:
        say("no random network within the budget was found or trained")
        return None
    reached = tuple(config.quality.of(record.metrics) for record in records)
    return Controls(reached, len(folder.trained()), config.quality)
