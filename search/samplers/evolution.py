"""Regularised evolution (Real et al., arXiv 1802.01548) as an Optuna sampler."""

from typing import Any, Final

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from search.pareto import dominators
from search.samplers.base import SharedSpaceSampler, signs
from search.samplers.box import Box

POPULATION: Final = 20
"""The youngest trials, of which the eldest dies with every birth. The paper's 100 would be a
whole search here."""
TOURNAMENT: Final = 5


class EvolutionSampler(SharedSpaceSampler):
    """Ageing evolution: the best of a few random members of the youngest is mutated.

    Its parents are the last `population_size` finished trials; one parameter of the best of
    `tournament_size` of them changes to another value. With several objectives the best is one
    that the fewest of the tournament dominate.
    """

    def __init__(
        self,
        seed: int | None = None,
        population_size: int = POPULATION,
        tournament_size: int = TOURNAMENT,
    ) -> None:
        super().__init__(seed)
        self._population_size = population_size
        self._tournament_size = tournament_size

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """A mutated parent; at random while the first population is being born."""
        finished = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        if not search_space:
            return {}
        box = Box(search_space)
        if len(finished) < self._population_size:
            return box.decode(box.sample(1, self._generator)[0])
        alive = finished[-self._population_size :]
        chosen = self._generator.choice(
            len(alive), min(self._tournament_size, len(alive)), replace=False
        )
        values = signs(study) * np.array([alive[member].values for member in chosen])
        parent = box.encode(alive[chosen[int(np.argmin(dominators(values)))]].params)
        assert parent is not None  # the space is what all trials share
        return box.decode(self._mutate(box, parent))

    def _mutate(self, box: Box, parent: Any) -> Any:
        """One parameter changed to another of its values, chosen evenly."""
        child = parent.copy()
        position = int(self._generator.integers(len(child)))
        size = int(box.sizes[position])
        if size:
            child[position] = (child[position] + self._generator.integers(1, size)) % size
        else:
            child[position] = self._generator.random()
        return child
