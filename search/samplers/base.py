"""What our relative samplers share: their randomness, and the parameters they see."""

from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

from search.samplers.candidates import Features


class SharedSpaceSampler(BaseSampler):
    """Samples together the parameters that all trials share, and the others at random."""

    def __init__(self, seed: int | None) -> None:
        self._generator = np.random.default_rng(seed)
        self._random = RandomSampler(seed=seed)

    def reseed_rng(self) -> None:
        """Fresh random state, for a sampler that was copied into another process."""
        self._generator = np.random.default_rng()
        self._random.reseed_rng()

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """The parameters that all finished trials share, by name."""
        finished = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        if not finished:
            return {}
        shared = finished[-1].distributions
        for other in finished[:-1]:
            theirs = other.distributions
            shared = {
                name: one
                for name, one in shared.items()
                if name in theirs and _equal(one, theirs[name])
            }
        return {name: shared[name] for name in sorted(shared) if not shared[name].single()}

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


def _equal(left: BaseDistribution, right: BaseDistribution) -> bool:
    # Optuna compares choice by choice, so that nan is nan: seconds where studies are long.
    if isinstance(left, CategoricalDistribution) and isinstance(right, CategoricalDistribution):
        return left.choices == right.choices or left == right
    return left == right
