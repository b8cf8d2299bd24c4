"""A Gaussian process with one length scale, fast enough to be refitted at every ask.

scikit-learn's regressor gives the same numbers; it computes the distances between points anew for
every likelihood, mean and deviation, which at 1,000 observations is most of an ask.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_solve, solve_triangular
from scipy.optimize import minimize

Array = NDArray[np.float64]

START: Final = (1.0, 5.0, 0.1)
"""Signal variance, length scale and noise variance that the fit of a kernel starts from."""
BOUNDS: Final = ((1e-2, 1e3), (0.3, 300.0), (1e-4, 1.0))
JITTER: Final = 1e-8


class GaussianProcess:
    """Regression with k(a, b) = signal·exp(−|a − b|²/2·length²), and noise on observations.

    Rasmussen & Williams 2006, algorithm 2.1. Targets are expected to have mean 0 and deviation 1.
    """

    def __init__(self, signal: float, length: float, noise: float) -> None:
        self.signal, self.length, self.noise = signal, length, noise

    @classmethod
    def most_likely(cls, inputs: Array, outputs: Array) -> "GaussianProcess":
        """The process whose three numbers maximise the likelihood of (n, features) and (n,)."""
        distances = _square_distances(inputs, inputs)

        def loss(logs: Array) -> tuple[float, Array]:
            return _negative_likelihood(np.exp(logs), distances, outputs)

        found = minimize(
            loss, np.log(START), jac=True, method="L-BFGS-B", bounds=np.log(BOUNDS)
        )  # fmt: skip
        return cls(*np.exp(found.x))

    def fit(self, inputs: Array, outputs: Array) -> "GaussianProcess":
        """Condition on (observations, features) and (observations,)."""
        self._inputs = inputs
        own = self.covariances(inputs)
        own[np.diag_indices_from(own)] += self.noise + JITTER
        self._factor = np.linalg.cholesky(own)
        self._weights: Array = cho_solve((self._factor, True), outputs, check_finite=False)
        return self

    def covariances(self, inputs: Array) -> Array:
        """(points, observations): what the two methods below read, to be computed once."""
        found = _square_distances(inputs, self._inputs)
        found *= -0.5 / self.length**2
        np.exp(found, out=found)
        found *= self.signal
        return found

    def mean(self, covariances: Array) -> Array:
        """Expected values, (points,)."""
        expected: Array = covariances @ self._weights
        return expected

    def variance(self, covariances: Array) -> Array:
        """Variances of the noise-free values, (points,)."""
        known = solve_triangular(self._factor, covariances.T, lower=True, check_finite=False)
        variances: Array = np.maximum(self.signal - np.einsum("ij,ij->j", known, known), 0.0)
        return variances

    def standard_residuals(self) -> Array:
        """Leave-one-out residuals in units of what each was expected to be (ibid., eq. 5.10–5.12),
        (observations,)."""
        inverse = solve_triangular(
            self._factor, np.eye(len(self._weights)), lower=True, check_finite=False
        )
        diagonal = np.einsum("ij,ij->j", inverse, inverse)
        residuals: Array = self._weights / np.sqrt(diagonal)
        return residuals


def _square_distances(left: Array, right: Array) -> Array:
    """Squared distances by one matrix product, (left, right)."""
    found = left @ (-2.0 * right.T)
    found += np.einsum("ij,ij->i", left, left)[:, None]
    found += np.einsum("ij,ij->i", right, right)
    return np.maximum(found, 0.0, out=found)


def _negative_likelihood(numbers: Array, distances: Array, outputs: Array) -> tuple[float, Array]:
    """−log p(outputs) and its gradient by the logarithms of signal, length and noise
    (ibid., eq. 5.8 and 5.9)."""
    signal, length, noise = numbers
    covariance = signal * np.exp(distances * (-0.5 / length**2))
    own = covariance.copy()
    own[np.diag_indices_from(own)] += noise + JITTER
    try:
        factor = np.linalg.cholesky(own)
    except np.linalg.LinAlgError:
        return np.inf, np.zeros(3)
    weights = cho_solve((factor, True), outputs, check_finite=False)
    inverse = cho_solve((factor, True), np.eye(len(outputs)), check_finite=False)
    inner = np.outer(weights, weights) - inverse
    likelihood = (
        -0.5 * outputs @ weights
        - np.log(np.diag(factor)).sum()
        - 0.5 * len(outputs) * np.log(2 * np.pi)
    )
    weighted = inner * covariance
    gradient = 0.5 * np.array(
        [weighted.sum(), (weighted * distances).sum() / length**2, noise * np.trace(inner)]
    )
    return -float(likelihood), -gradient
