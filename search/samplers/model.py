"""The regressors behind `SurrogateSampler`: what they expect, and how sure they are of it."""

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from sklearn.ensemble import GradientBoostingRegressor
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, Kernel, WhiteKernel
from sklearn.linear_model import BayesianRidge

MAX_KERNEL_POINTS: Final = 250
"""Observations that the kernel's three numbers are fitted to: a likelihood costs their cube."""
MIN_TREE_POINTS: Final = 8
"""Below it boosted trees only repeat the mean."""
STD_CANDIDATES: Final = 2000
"""Candidates whose uncertainty is computed; the rest are told apart by their mean alone."""

Array = NDArray[np.float64]


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
        kernel = self._fit_kernel(inputs, outputs)
        self._process = GaussianProcessRegressor(kernel, optimizer=None, alpha=1e-8)
        self._process.fit(inputs, outputs)
        self._trees = None
        if len(outputs) >= MIN_TREE_POINTS:
            self._trees = GradientBoostingRegressor(
                n_estimators=100,
                learning_rate=0.08,
                max_depth=3,
                subsample=0.7,
                random_state=self.seed,
            ).fit(inputs, outputs)
        self.calibration = self._leave_one_out()
        return self

    def predict(self, features: Array) -> tuple[Array, Array]:
        """Mean and standard deviation of the noise-free target, each (candidates,)."""
        inputs = self._standard(features)
        members = self._members(inputs)
        mean = np.mean(members, axis=0)
        spread = np.var(members, axis=0)
        # A deviation costs the square of the observations, so only the promising have their own.
        deviation = np.full(len(mean), np.nan)
        chosen = np.argsort(-mean)[:STD_CANDIDATES]
        _, own = self._process.predict(inputs[chosen], return_std=True)
        noise = self._noise()
        deviation[chosen] = np.sqrt(np.maximum(own**2 - noise, 0.0) + spread[chosen])
        deviation[np.isnan(deviation)] = np.nanmin(deviation) if len(chosen) else 0.0
        return self._mean + self._std * mean, self._std * self.calibration * deviation

    def mean(self, features: Array) -> Array:
        """The mean of `predict` alone, which costs less."""
        mean: Array = np.mean(self._members(self._standard(features)), axis=0)
        return self._mean + self._std * mean

    def _members(self, inputs: Array) -> list[Array]:
        members = [self._ridge.predict(inputs), self._process.predict(inputs)]
        if self._trees is not None:
            members.append(self._trees.predict(inputs))
        return members

    def _standard(self, features: Array) -> Array:
        standard = (features - self._centre)[:, self._used] / self._scale[self._used]
        return standard if standard.shape[1] else np.zeros((len(features), 1))

    def _fit_kernel(self, inputs: Array, outputs: Array) -> Kernel:
        if len(outputs) > MAX_KERNEL_POINTS:
            # The best half matters most to a search; the rest stands for the whole range.
            best = np.argsort(-outputs)[: MAX_KERNEL_POINTS // 2]
            others = np.setdiff1d(np.arange(len(outputs)), best)
            rest = np.random.default_rng(self.seed).choice(
                others, MAX_KERNEL_POINTS - len(best), replace=False
            )
            chosen = np.concatenate([best, rest])
            inputs, outputs = inputs[chosen], outputs[chosen]
        start = ConstantKernel(1.0, (1e-2, 1e3)) * RBF(5.0, (0.3, 300.0))
        start = start + WhiteKernel(0.1, (1e-4, 1.0))
        # The regressor's own fit, without its warning about a parameter at its bound, which is
        # fine here; silencing a warning is not safe between threads.
        process = GaussianProcessRegressor(start, optimizer=None, alpha=1e-8).fit(inputs, outputs)

        def loss(theta: Array) -> tuple[float, Array]:
            likelihood, gradient = process.log_marginal_likelihood(
                theta, eval_gradient=True, clone_kernel=False
            )
            return -likelihood, -gradient

        found = minimize(loss, start.theta, jac=True, method="L-BFGS-B", bounds=start.bounds)
        return start.clone_with_theta(found.x)

    def _noise(self) -> float:
        return float(self._process.kernel_.k2.noise_level)

    def _leave_one_out(self) -> float:
        """Deviation of the process's leave-one-out residuals in units of what it expects."""
        if len(self._process.alpha_) < 5:
            return 1.0
        inverse = np.linalg.inv(self._process.L_ @ self._process.L_.T)
        diagonal = np.diag(inverse)
        residuals = self._process.alpha_.ravel() / np.sqrt(diagonal)
        return float(np.clip(np.sqrt(np.mean(residuals**2)), 0.5, 3.0))
