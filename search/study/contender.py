"""The networks of a final round."""

from dataclasses import dataclass, field
from typing import Final

import numpy as np

from search.record.trials import TrialRecord
from search.space.references import Reference
from search.study.objective import Objective
from search.training.outcomes import Outcomes

RIVALS: Final = 2
"""References of a final round, the best by the proxy."""


@dataclass
class Contender:
    """A network of the final round.

    `by_proxy` is the training that it came in by, `reference` what it is if no candidate;
    `trainings` are its final ones, `outcomes` those of single images.
    """

    by_proxy: TrialRecord
    reference: Reference | None = None
    trainings: list[TrialRecord] = field(default_factory=list)
    outcomes: list[Outcomes] = field(default_factory=list)

    @property
    def name(self) -> str:
        """For people."""
        return f"trial {self.by_proxy.number}" if self.reference is None else self.reference.name

    def mean(self, metric: str) -> float:
        """Of its final trainings."""
        return float(np.mean([record.metrics[metric] for record in self.trainings]))


def proxy_rank(record: TrialRecord, objective: Objective) -> tuple[float, int, int]:
    """A key to sort by: of what is likelier to be the best the lesser."""
    return -objective.signal(record), record.cost.macs, record.number
