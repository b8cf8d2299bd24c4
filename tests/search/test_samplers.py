"""Our samplers: Optuna's own conformance suite, and what they promise beyond it."""

from collections.abc import Callable

import numpy as np
import pytest
from optuna import create_study
from optuna.distributions import CategoricalDistribution
from optuna.samplers import BaseSampler
from optuna.testing.pytest_samplers import (
    BasicSamplerTestCase,
    MultiObjectiveSamplerTestCase,
    RelativeSamplerTestCase,
)
from optuna.trial import create_trial

from search.samplers.box import neighbours
from search.samplers.evolution import EvolutionSampler
from search.samplers.surrogate import SurrogateSampler


class TestSurrogateConforms(
    BasicSamplerTestCase, RelativeSamplerTestCase, MultiObjectiveSamplerTestCase
):
    @pytest.fixture
    def sampler(self) -> Callable[[], BaseSampler]:
        return lambda: SurrogateSampler(seed=0, n_startup_trials=1)


class TestEvolutionConforms(
    BasicSamplerTestCase, RelativeSamplerTestCase, MultiObjectiveSamplerTestCase
):
    @pytest.fixture
    def sampler(self) -> Callable[[], BaseSampler]:
        return lambda: EvolutionSampler(seed=0, population_size=4)


def test_every_third_ask_of_a_search_that_is_stuck_changes_one_choice_of_the_best() -> None:
    choices = {f"x{place}": CategoricalDistribution([0, 1, 2]) for place in range(6)}
    study = create_study(direction="maximize", sampler=SurrogateSampler(seed=0))
    best = dict.fromkeys(choices, 2)
    generator = np.random.default_rng(0)
    for number in range(24):
        params = best if not number else {name: int(generator.integers(3)) for name in choices}
        value = float(sum(params.values()))
        study.add_trial(create_trial(params=params, distributions=choices, value=value))
    distances = []
    for number in range(24, 30):
        study.sampler = SurrogateSampler(seed=number)
        trial = study.ask(choices)
        distances.append(sum(trial.params[name] != best[name] for name in choices))
        study.tell(trial, float(sum(trial.params.values())))
    assert distances[0] == distances[3] == 1


def test_neighbours_differ_in_one_choice() -> None:
    found = neighbours(np.array([0.0, 2.0, 0.4]), np.array([3, 3, 0]))
    assert found.tolist() == [[1, 2, 0.4], [2, 2, 0.4], [0, 0, 0.4], [0, 1, 0.4]]
