"""What our relative samplers share: their randomness, and the parameters they see."""

from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.search_space import IntersectionSearchSpace
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial

from search.samplers.candidates import Features


class SharedSpaceSampler(BaseSampler):
    """Samples together the parameters that all trials share, and the others at random."""

    def __init__(self, seed: int | None) -> None:
        self._generator = np.random.default_rng(seed)
        self._random = RandomSampler(seed=seed)
        self._intersection = IntersectionSearchSpace()

    def reseed_rng(self) -> None:
        """Fresh random state, for a sampler that was copied into another process."""
        self._generator = np.random.default_rng()
        self._random.reseed_rng()

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """The parameters that all trials share."""
        shared = self._intersection.calculate(study)
        return {name: one for name, one in shared.items() if not one.single()}

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """At random: the first trial, and parameters that not all trials have."""
        return self._random.sample_independent(study, trial, param_name, param_distribution)


def signs(study: Study) -> Features:
    """What turns each objective into one to be maximised: 1 or −1."""
    return np.array([1.0 if d == StudyDirection.MAXIMIZE else -1.0 for d in study.directions])
