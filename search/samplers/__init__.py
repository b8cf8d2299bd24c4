"""Samplers by name. Adding one is one line."""

import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from search.samplers.candidates import Candidates

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler

# Each imports what it needs: Optuna and scikit-learn together take a second.


def _surrogate(seed: int, candidates: Candidates | None) -> "BaseSampler":
    from search.samplers.surrogate import SurrogateSampler

    return SurrogateSampler(seed, candidates)


def _tpe(seed: int, candidates: Candidates | None) -> "BaseSampler":
    from optuna.samplers import TPESampler

    return TPESampler(seed=seed)


def _nsga2(seed: int, candidates: Candidates | None) -> "BaseSampler":
    from optuna.samplers import NSGAIISampler

    # Optuna's population of 50 would keep a short study inside its first, random generation.
    return NSGAIISampler(seed=seed, population_size=16)


def _gp(seed: int, candidates: Candidates | None) -> "BaseSampler":
    from optuna.samplers import GPSampler

    return GPSampler(seed=seed)


def _evolution(seed: int, candidates: Candidates | None) -> "BaseSampler":
    from search.samplers.evolution import EvolutionSampler

    return EvolutionSampler(seed)


def _random(seed: int, candidates: Candidates | None) -> "BaseSampler":
    from optuna.samplers import RandomSampler

    return RandomSampler(seed=seed)


SAMPLERS: Final[dict[str, Callable[[int, Candidates | None], "BaseSampler"]]] = {
    "surrogate": _surrogate,
    "tpe": _tpe,
    "nsga2": _nsga2,
    "gp": _gp,
    "evolution": _evolution,
    "random": _random,
}


def build_sampler(name: str, seed: int, candidates: Candidates | None = None) -> "BaseSampler":
    """The sampler called `name`; `candidates` is for those that choose among feasible ones."""
    import optuna

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return SAMPLERS[name](seed, candidates)
