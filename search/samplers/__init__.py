"""Samplers by name. Adding one is one line."""

import warnings
from collections.abc import Callable
from typing import Final

import optuna
from optuna.samplers import BaseSampler, GPSampler, NSGAIISampler, RandomSampler, TPESampler

from search.samplers.candidates import Candidates
from search.samplers.evolution import EvolutionSampler
from search.samplers.surrogate import SurrogateSampler

SAMPLERS: Final[dict[str, Callable[[int, Candidates | None], BaseSampler]]] = {
    "surrogate": lambda seed, candidates: SurrogateSampler(seed, candidates),
    "tpe": lambda seed, _: TPESampler(seed=seed),
    # Optuna's population of 50 would keep a short study inside its first, random generation.
    "nsga2": lambda seed, _: NSGAIISampler(seed=seed, population_size=16),
    "gp": lambda seed, _: GPSampler(seed=seed),
    "evolution": lambda seed, _: EvolutionSampler(seed),
    "random": lambda seed, _: RandomSampler(seed=seed),
}


def build_sampler(name: str, seed: int, candidates: Candidates | None = None) -> BaseSampler:
    """The sampler called `name`; `candidates` is for those that choose among feasible ones."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return SAMPLERS[name](seed, candidates)
