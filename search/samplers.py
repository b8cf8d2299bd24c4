"""Samplers by name. Adding one is one line."""

import warnings
from collections.abc import Callable
from typing import Final

import optuna
from optuna.samplers import BaseSampler, NSGAIISampler, RandomSampler, TPESampler

SAMPLERS: Final[dict[str, Callable[[int], BaseSampler]]] = {
    "tpe": lambda seed: TPESampler(seed=seed),
    # Optuna's population of 50 would keep a short study inside its first, random generation.
    "nsga2": lambda seed: NSGAIISampler(seed=seed, population_size=16),
    "random": lambda seed: RandomSampler(seed=seed),
}


def build_sampler(name: str, seed: int) -> BaseSampler:
    """The sampler called `name`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return SAMPLERS[name](seed)
