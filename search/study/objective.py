"""What is better: the one place that says it.

What a trial is worth to the sampler, what a rung compares, which of two records is better, which
one is B0, and what a progress line calls the best so far.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from search.config.quality import ACCURACY as PLAIN
from search.config.quality import Quality
from search.config.schema import RunConfig
from search.pareto import reward
from search.record.trials import TrialRecord
from search.space.budget import target_macs

Direction = Literal["maximize", "minimize"]


@dataclass(frozen=True)
class Objective:
    """What a search steers by.

    `aim` is one of:

    - `pareto`: validation accuracy and few macs, a front of both. The best of it is the most
      accurate, as all are within the budget.
    - `accuracy`: validation accuracy.
    - `loss`: little validation loss.
    - `reward`: accuracy · (macs / `target_macs`)^`exponent`, as in EfficientNet (arXiv
      1905.11946, §3.2).

    `quality` says which accuracy that is, and which loss. Of equals the one with fewer macs is
    better. `rung_metric` is what a pruner compares where the aim is accuracy: `val_loss` or
    `val_accuracy`.
    """

    aim: str
    target_macs: int
    exponent: float = -0.07
    rung_metric: str = "val_loss"
    quality: Quality = PLAIN

    @classmethod
    def of(cls, config: RunConfig) -> "Objective":
        """The objective of a configuration."""
        return cls(
            config.aim,
            target_macs(config),
            config.reward.exponent,
            config.search.rung_metric,
            config.quality,
        )

    @classmethod
    def by(cls, quality: Quality) -> "Objective":
        """Of trainings outside a search, which are compared by this alone."""
        return cls("accuracy", 1, 0.0, "val_accuracy", quality)

    @property
    def directions(self) -> list[Direction]:
        """Optuna's directions of what `told` returns."""
        return ["maximize", "minimize"] if self.aim == "pareto" else ["maximize"]

    def told(self, record: TrialRecord) -> list[float]:
        """What the sampler is told of a trial, in the order of `directions`."""
        if self.aim == "pareto":
            return [self.quality.of(record.metrics), record.cost.macs]
        return [self.score(record)]

    def score(self, record: TrialRecord) -> float:
        """One number, more of it being better."""
        if self.aim == "loss":
            return -self.quality.loss_of(record.metrics)
        return self.reward(record) if self.aim == "reward" else self.quality.of(record.metrics)

    @property
    def rungs_are_losses(self) -> bool:
        """Whether a pruner compares losses, with their sign turned."""
        by_loss = self.aim == "accuracy" and self.rung_metric == "val_loss"
        return by_loss or self.aim == "loss"

    def rung(self, record: TrialRecord) -> float:
        """What a pruner compares at a rung, more of it being better."""
        if self.rungs_are_losses:
            return -self.quality.loss_of(record.metrics)
        return self.score(record)

    def signal(self, record: TrialRecord) -> float:
        """What tells candidates apart best, more of it being better.

        −log of the validation loss, which few images measure better than accuracy; the reward
        where that is the aim.
        """
        if self.aim == "reward":
            return self.reward(record)
        return -math.log(max(self.quality.loss_of(record.metrics), 1e-12))

    def reward(self, record: TrialRecord) -> float:
        """The reward of §3.2, whatever the aim is."""
        return reward(
            self.quality.of(record.metrics), record.cost.macs, self.target_macs, self.exponent
        )

    @property
    def compared(self) -> str:
        """The name of what a final round compares: the loss after temperature scaling, or the
        reward."""
        return "reward" if self.aim == "reward" else f"scaled_val_{self.quality.loss}"

    def compared_value(self, mean: float) -> float:
        """What a network reached in it, of a mean of which more is better."""
        return mean if self.aim == "reward" else -mean

    def rank(self, record: TrialRecord) -> tuple[float, int]:
        """A key to sort by: the better record has the greater one."""
        return self.score(record), -record.cost.macs

    def better(self, record: TrialRecord, other: TrialRecord) -> bool:
        """Whether `record` is better than `other`."""
        return self.rank(record) > self.rank(other)

    def best(self, records: Iterable[TrialRecord]) -> TrialRecord:
        """The B0 of these candidates.

        Raises:
            ValueError: there are none.
        """
        return max(records, key=self.rank)

    def describe(self, record: TrialRecord) -> str:
        """What a record is judged by, for people: `accuracy 0.8123`, `loss 0.5410`."""
        if self.aim == "loss":
            kind = "balanced loss" if self.quality.balanced else "loss"
            return f"{kind} {self.quality.loss_of(record.metrics):.4f}"
        if self.aim == "reward":
            return f"reward {self.reward(record):.4f}"
        return f"{self.quality.words} {self.quality.of(record.metrics):.4f}"


ACCURACY = Objective.by(PLAIN)
"""Of trainings outside a search, which are compared by validation accuracy."""
