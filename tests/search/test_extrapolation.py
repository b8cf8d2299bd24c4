"""Learning curves, extrapolated: whom it stops, and how often it is wrong."""

import numpy as np
import optuna
from scipy.stats import ks_1samp, uniform

from search.extrapolation import LEAST_CURVES, ExtrapolationPruner, chance_above


def curves(number: int, generator: np.random.Generator) -> np.ndarray:
    """(number, 5): rising curves of which the ends follow from the beginnings, with noise."""
    level = generator.normal(0.7, 0.05, (number, 1))
    steps = level * (1 - 0.6 ** np.arange(1, 6))
    noise: np.ndarray = steps + generator.normal(0, 0.01, (number, 5))
    return noise


def test_its_chances_are_chances() -> None:
    """Over many sets of curves, the rank of what came within what was predicted is uniform."""
    generator = np.random.default_rng(0)
    ranks = []
    for _ in range(400):
        found = curves(20, generator)
        known, new = found[:-1], found[-1]
        ranks.append(1 - chance_above(known[:, :3], known[:, -1], new[:3], float(new[-1])))
    assert ks_1samp(ranks, uniform.cdf).pvalue > 0.01
    assert 0.02 < np.mean(np.array(ranks) < 0.05) < 0.09


def test_few_curves_stop_nobody() -> None:
    found = curves(LEAST_CURVES, np.random.default_rng(1))
    assert chance_above(found[1:, :3], found[1:, -1], [0.0, 0.0, 0.0], 1.0) == 1.0
    assert chance_above(found[:, :3], found[:, -1], [0.0, 0.0, 0.0], 1.0) < 0.01


def test_equal_curves_have_no_spread() -> None:
    same = [[0.5, 0.6]] * 10
    assert chance_above(same, [0.7] * 10, [0.5, 0.6], 0.8) < 1e-9
    assert chance_above(same, [0.7] * 10, [0.5, 0.6], 0.6) > 1 - 1e-9


def test_it_stops_the_hopeless_and_lets_the_best_go_on() -> None:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(direction="maximize", pruner=ExtrapolationPruner(0.05))
    for curve in curves(20, np.random.default_rng(2)):
        trial = study.ask()
        for epoch, value in enumerate(curve[:-1], 1):
            trial.report(float(value), epoch)
        study.tell(trial, float(curve[-1]))
    hopeless, hopeful = study.ask(), study.ask()
    assert not hopeless.should_prune()  # of whom nothing is known
    hopeless.report(0.1, 1)
    assert hopeless.should_prune()
    hopeful.report(max(t.intermediate_values[1] for t in study.trials[:20]) + 0.02, 1)
    assert not hopeful.should_prune()
