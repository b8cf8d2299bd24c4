"""The regressors behind `SurrogateSampler`: what they expect, and how sure they are of it."""

from typing import Final

import numpy as np
from numpy.typing import NDArray
from sklearn import config_context
from sklearn.ensemble import GradientBoostingRegressor
from sklearn.linear_model import BayesianRidge

from search.samplers.gaussian import Array, GaussianProcess

MAX_KERNEL_POINTS: Final = 120
"""Observations that the kernel's three numbers are fitted to: a likelihood costs their cube."""
MAX_POINTS: Final = 500
"""Observations that the process is conditioned on and a tree grown from, so that an ask of a long
study costs little more than one of a short study."""
MIN_TREE_POINTS: Final = 8
"""Below it boosted trees only repeat the mean."""
STD_CANDIDATES: Final = 2000
"""Candidates whose uncertainty is computed; the rest are told apart by their mean alone."""


class Ensemble:
    """A Bayesian linear model, a Gaussian process and boosted trees, averaged.

    The line needs few observations, the process finds smooth curvature, the trees thresholds;
    which of them is best depends on the space and on the number of observations, and the mean of
    the three was at least as good as the best of them. The uncertainty is theirs plus their
    disagreement (law of total variance), scaled so that leave-one-out residuals of the process
    have unit deviation (Rasmussen & Williams 2006, eq. 5.10–5.12).
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def fit(self, features: Array, targets: Array) -> "Ensemble":
        """Learn from (observations, features) and (observations,); targets of any scale."""
        self._centre = features.mean(0)
        self._scale = features.std(0)
        self._used = self._scale > 1e-9
        self._mean, self._std = float(targets.mean()), float(targets.std()) or 1.0
        inputs, outputs = self._standard(features), (targets - self._mean) / self._std
        self._ridge = BayesianRidge().fit(inputs, outputs)
        some = self._representative(outputs, MAX_KERNEL_POINTS)
        most = self._representative(outputs, MAX_POINTS)
        self._process = GaussianProcess.most_likely(inputs[some], outputs[some])
        self._process.fit(inputs[most], outputs[most])
        self._trees = None
        if len(outputs) >= MIN_TREE_POINTS:
            # Each of its trees would check anew what is known to be right: a quarter of the time.
            with config_context(skip_parameter_validation=True, assume_finite=True):
                self._trees = GradientBoostingRegressor(
                    n_estimators=50,
                    learning_rate=0.15,
                    max_depth=3,
                    subsample=0.7 * min(1.0, MAX_POINTS / len(outputs)),
                    random_state=self.seed,
                ).fit(inputs, outputs)
        self.calibration = self._leave_one_out()
        return self

    def predict(self, features: Array) -> tuple[Array, Array]:
        """Mean and standard deviation of the noise-free target, each (candidates,)."""
        inputs = self._standard(features)
        covariances = self._process.covariances(inputs)
        members = self._members(inputs, covariances)
        mean = np.mean(members, axis=0)
        spread = np.var(members, axis=0)
        # A deviation costs the square of the observations, so only the promising have their own.
        deviation = np.full(len(mean), np.nan)
        chosen = np.argsort(-mean)[:STD_CANDIDATES]
        own = self._process.variance(covariances[chosen])
        deviation[chosen] = np.sqrt(own + spread[chosen])
        deviation[np.isnan(deviation)] = np.nanmin(deviation) if len(chosen) else 0.0
        return self._mean + self._std * mean, self._std * self.calibration * deviation

    def mean(self, features: Array) -> Array:
        """The mean of `predict` alone, which costs less."""
        inputs = self._standard(features)
        members = self._members(inputs, self._process.covariances(inputs))
        mean: Array = np.mean(members, axis=0)
        return self._mean + self._std * mean

    def _members(self, inputs: Array, covariances: Array) -> list[Array]:
        members = [self._ridge.predict(inputs), self._process.mean(covariances)]
        if self._trees is not None:
            members.append(self._trees.predict(inputs))
        return members

    def _standard(self, features: Array) -> Array:
        standard = (features - self._centre)[:, self._used] / self._scale[self._used]
        return standard if standard.shape[1] else np.zeros((len(features), 1))

    def _representative(self, outputs: Array, number: int) -> NDArray[np.intp]:
        """At most `number` observations: the best matter most to a search, as many others stand
        for the whole range."""
        if len(outputs) <= number:
            return np.arange(len(outputs))
        best = np.argsort(-outputs)[: number // 2]
        others = np.setdiff1d(np.arange(len(outputs)), best)
        rest = np.random.default_rng(self.seed).choice(others, number - len(best), replace=False)
        return np.concatenate([best, rest])

    def _leave_one_out(self) -> float:
        """Deviation of the process's leave-one-out residuals in units of what it expects."""
        residuals = self._process.standard_residuals()
        if len(residuals) < 5:
            return 1.0
        return float(np.clip(np.sqrt(np.mean(residuals**2)), 0.5, 3.0))
