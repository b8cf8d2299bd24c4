"""Our samplers: Optuna's own conformance suite, and what they promise beyond it."""

from collections.abc import Callable

import pytest
from optuna.samplers import BaseSampler
from optuna.testing.pytest_samplers import (
    BasicSamplerTestCase,
    MultiObjectiveSamplerTestCase,
    RelativeSamplerTestCase,
)

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
