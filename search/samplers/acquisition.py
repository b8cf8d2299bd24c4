"""What a candidate is worth asking for, by what a model expects of it."""

from collections.abc import Callable
from typing import Final

import numpy as np
from scipy.stats import norm

from search.pareto import hypervolume_added
from search.samplers.gaussian import Array

OPTIMISM: Final = 0.5
"""Standard deviations added to a candidate before its hypervolume is compared."""
Acquisition = Callable[[Array, Array], Array]
"""Of means and deviations (candidates, objectives): what each candidate is worth."""


def improvement_over(best: float) -> Acquisition:
    """Expected improvement of one objective over its best expected value."""
    return lambda mean, deviation: expected_improvement(mean[:, 0], deviation[:, 0], best)


def compromise(values: Array, generator: np.random.Generator) -> Acquisition:
    """The acquisition of several objectives, of which `values` were observed.

    Of two it is the hypervolume that an optimistic estimate adds, of more a Chebyshev
    scalarisation with weights drawn from `generator`.
    """
    objectives = values.shape[1]
    low, high = values.min(0), values.max(0)
    span = np.where(high > low, high - low, 1.0)
    weights = generator.dirichlet(np.ones(objectives))

    def chebyshev(mean: Array, deviation: Array) -> Array:
        scaled = (mean + OPTIMISM * deviation - low) / span
        score: Array = (weights * scaled).min(1) + 0.05 * (weights * scaled).sum(1)
        return score

    if objectives > 2:
        return chebyshev
    front = (values - low) / span

    def added(mean: Array, deviation: Array) -> Array:
        gain = hypervolume_added((mean + OPTIMISM * deviation - low) / span, front)
        # Where nothing adds any, the scalarisation still tells near from far.
        return gain if gain.max(initial=0.0) > 0 else chebyshev(mean, deviation)

    return added


def expected_improvement(mean: Array, deviation: Array, best: float) -> Array:
    """E[max(0, y − best)] of y ~ N(mean, deviation²) (Jones et al. 1998, eq. 15)."""
    deviation = np.maximum(deviation, 1e-12)
    ahead = (mean - best) / deviation
    improvement: Array = deviation * (ahead * norm.cdf(ahead) + norm.pdf(ahead))
    # Far behind, the formula underflows to 0: keep the order of the means there.
    return np.where(improvement > 0, improvement, 1e-300 * np.exp(np.clip(ahead, -700, 0)))
