"""Early stopping by learning-curve extrapolation.

Sequential regression models (Baker et al., 2017, "Accelerating Neural Architecture Search using
Performance Prediction", arXiv 1705.10823): at each epoch a regression, fitted to the trials that
were trained to the end, predicts from the part of a curve that is there what it ends at; a
training is stopped where it would hardly end above the best so far. Halving stops a fixed share
at each rung, however clear or unclear its order is; this stops as many as the curves allow.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray
from optuna.pruners import BasePruner
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState
from scipy.stats import t as student_t

LEAST_CURVES: Final = 8
"""Whole curves below which nothing is extrapolated."""
_RIDGE: Final = 1e-2
"""Of standardised features: a curve's last two values are nearly one another."""


class ExtrapolationPruner(BasePruner):
    """Stops a trial that ends above the best completed one with a probability below `least`.

    Curves are the values that trials reported at their epochs, the end is the value they were
    told with; both are maximised. What it decides follows from the study alone.
    """

    def __init__(self, least: float) -> None:
        self.least = least

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        step = trial.last_step
        if step is None:
            return False
        steps = [known for known in sorted(trial.intermediate_values) if known <= step]
        curves, ends = [], []
        for other in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)):
            if all(known in other.intermediate_values for known in steps):
                curves.append([other.intermediate_values[known] for known in steps])
                assert other.value is not None  # one objective: others are refused
                ends.append(other.value)
        partial = [trial.intermediate_values[known] for known in steps]
        return chance_above(curves, ends, partial, max(ends, default=0.0)) < self.least


def chance_above(
    curves: Sequence[Sequence[float]], ends: Sequence[float], partial: Sequence[float], best: float
) -> float:
    """The probability that a curve which began as `partial` ends above `best`.

    `curves` (n, k) are the same k epochs of n other trainings, `ends` (n,) what those ended at.
    The last two of the k epochs, the level and its slope, are regressed on by ridge; the error of
    a prediction is Student's t of the leave-one-out errors. 1 where n is below `LEAST_CURVES`.
    """
    if len(curves) < LEAST_CURVES:
        return 1.0
    features = _features(np.asarray(curves, dtype=np.float64))
    wanted = _features(np.asarray([partial], dtype=np.float64))
    centre, scale = features.mean(0), features.std(0)
    scale[scale == 0] = 1.0
    design = _with_constant((features - centre) / scale)
    row = _with_constant((wanted - centre) / scale)[0]
    penalty = _RIDGE * np.eye(design.shape[1])
    penalty[0, 0] = 0.0  # the mean is not shrunk
    inverse = np.linalg.inv(design.T @ design + penalty)
    leverage = np.einsum("ij,jk,ik->i", design, inverse, design)
    target = np.asarray(ends, dtype=np.float64)
    weights = inverse @ design.T @ target
    errors = (target - design @ weights) / (1 - leverage)  # leave-one-out, exactly
    spread = float(np.sqrt(np.mean(errors**2) * (1 + row @ inverse @ row)))
    ahead = float(row @ weights) - best
    if spread == 0:
        return float(ahead > 0)
    return float(student_t.cdf(ahead / spread, df=len(target) - design.shape[1]))


def _features(curves: NDArray[np.float64]) -> NDArray[np.float64]:
    """The last value and, where there are two, the last rise."""
    return np.hstack([curves[:, -1:], np.diff(curves[:, -2:], axis=1)])


def _with_constant(columns: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.hstack([np.ones((len(columns), 1)), columns])
