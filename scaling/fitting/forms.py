"""Accuracy as a function of depth, width and resolution: three forms of surface.

A product of powers has its optimum in a corner under any cost d·w²·r², so it cannot tell
coefficients. The forms here are curved: a quadratic in logs of the logit of accuracy, an error of
one falling power per axis (whose optimum keeps constant ratios, as compound scaling does), and a
Gaussian process. Each is fitted to many resamples at once. Logs are natural throughout.
"""

import itertools
import warnings
from collections.abc import Sequence
from typing import Final, Protocol

import numpy as np
from scipy.special import expit
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, DotProduct, WhiteKernel

from scaling.compound import ScalingError
from scaling.fitting.observations import (
    Floats,
    Integers,
    Observations,
    Sample,
    clipped_logit,
    quadratic_features,
)

EXPONENTS: Final = (0.1, 0.2, 0.35, 0.6, 1.0, 1.6, 2.5)
"""Of an axis in the additive law."""
_RIDGE: Final = 1e-10
"""Share of a diagonal added to it, so that a resample of few networks can be solved."""
_CHUNK: Final = 50
"""Resamples of the additive law that are refitted together: some 100 MB."""


class Fitted(Protocol):
    """A form fitted to every resample."""

    def leave_one_out(self) -> Floats:
        """(resamples,): root mean square error, in accuracy, of networks left out in turn with
        all of their seeds and copies."""

    def predict(self, logs: Floats) -> Floats:
        """(points, axes) → (resamples, points): accuracy."""


class Form(Protocol):
    """A kind of surface for these observations; `fit` refits it to every resample."""

    def fit(self, sample: Sample) -> Fitted:
        """Fitted to each row."""


class Quadratic:
    """logit(accuracy) as a quadratic in logs, by least squares weighted by inverse variances."""

    def __init__(self, observations: Observations) -> None:
        self.weights = observations.weights * observations.slope**2
        self.images = observations.images
        self.unsquared = observations.unsquared
        self.features = quadratic_features(observations.logs, self.unsquared)
        _require_rank(self.features, "quadratic", observations.logs)

    def fit(self, sample: Sample) -> "_FittedQuadratic":
        return _FittedQuadratic(self, sample)


class _FittedQuadratic:
    def __init__(self, form: Quadratic, sample: Sample) -> None:
        self.form, self.sample = form, sample
        features, size = form.features, form.features.shape[1]
        self.outputs = clipped_logit(sample.accuracy, form.images)
        weights = sample.counts * form.weights
        products = (features[:, :, None] * features[:, None, :]).reshape(len(features), -1)
        moments = (weights @ products).reshape(-1, size, size)
        inverse = np.linalg.inv(_ridged(moments))
        self.coefficients = np.einsum("rpq,rq->rp", inverse, (weights * self.outputs) @ features)
        leverage = weights * (inverse.reshape(-1, size * size) @ products.T)
        residuals = self.outputs - self.coefficients @ features.T
        self.left_out = self.outputs - residuals / _room(leverage)

    def leave_one_out(self) -> Floats:
        return _root_mean_square(expit(self.left_out) - self.sample.accuracy, self.sample.counts)

    def predict(self, logs: Floats) -> Floats:
        return np.asarray(
            expit(self.coefficients @ quadratic_features(logs, self.form.unsquared).T)
        )


class Additive:
    """Error = e₀ + Σ a·x^−p with e₀, a ≥ 0: what is lost for want of depth, width, resolution.

    The exponents are the best of `EXPONENTS`; an axis without a term does nothing.
    """

    def __init__(self, observations: Observations) -> None:
        logs = observations.logs
        self.axes = logs.shape[1]
        self.weights = observations.weights
        self.basis = self.columns(logs)
        levels = [len(np.unique(logs[:, axis].round(9))) for axis in range(self.axes)]
        if min(levels) < 2:
            raise _same_everywhere("additive", levels, 2)
        # Every choice of axes and of an exponent for each, as columns of the basis; 0 is e₀.
        self.models: list[Integers] = []
        for active in range(self.axes + 1):
            found = [
                [0, *(1 + axis * len(EXPONENTS) + power for axis, power in term)]
                for axes in itertools.combinations(range(self.axes), active)
                for powers in itertools.product(range(len(EXPONENTS)), repeat=active)
                for term in [list(zip(axes, powers, strict=True))]
            ]
            self.models.append(np.array(found, dtype=np.int64))

    def columns(self, logs: Floats) -> Floats:
        """(points, 1 + axes·exponents): 1 and x^−p."""
        powers = [np.exp(-p * logs[:, axis]) for axis in range(self.axes) for p in EXPONENTS]
        return np.column_stack([np.ones(len(logs)), *powers])

    def fit(self, sample: Sample) -> "_FittedAdditive":
        return _FittedAdditive(self, sample)


class _FittedAdditive:
    def __init__(self, form: Additive, sample: Sample) -> None:
        self.form, self.sample = form, sample
        self.coefficients = np.zeros((len(sample.counts), form.basis.shape[1]))
        self.errors = np.empty_like(sample.counts)
        for start in range(0, len(sample.counts), _CHUNK):
            self._fit(slice(start, start + _CHUNK))

    def _fit(self, rows: slice) -> None:
        form, basis = self.form, self.form.basis
        weights, outputs = self.sample.counts[rows] * form.weights, 1 - self.sample.accuracy[rows]
        size = basis.shape[1]
        products = (basis[:, :, None] * basis[:, None, :]).reshape(len(basis), -1)
        moments = (weights @ products).reshape(-1, size, size)
        right = (weights * outputs) @ basis
        whole = (weights * outputs**2).sum(1)
        resamples = np.arange(len(weights))
        best = np.full(len(weights), np.inf)
        # Of each network, by the model that is best without it.
        best_without, left_out = np.full(weights.shape, np.inf), np.zeros_like(weights)
        for models in form.models:
            chosen = moments[:, models[:, :, None], models[:, None, :]]
            inverse = np.linalg.inv(_ridged(chosen))
            sides = right[:, models]
            found = np.einsum("rmpq,rmq->rmp", inverse, sides)
            squares = whole[:, None] - np.einsum("rmp,rmp->rm", found, sides)
            squares[(found < 0).any(2)] = np.inf
            first = squares.argmin(1)
            better = squares[resamples, first] < best
            best = np.where(better, squares[resamples, first], best)
            self.coefficients[rows][better] = 0.0
            for row in np.flatnonzero(better):
                self.coefficients[rows.start + row, models[first[row]]] = found[row, first[row]]
            columns = basis[:, models].transpose(1, 2, 0)  # (models, parameters, networks)
            terms = models.shape[1]
            pairs = (columns[:, :, None] * columns[:, None]).reshape(len(models), terms**2, -1)
            flat = inverse.reshape(len(weights), len(models), -1).transpose(1, 0, 2)
            leverage = np.matmul(flat, pairs).transpose(1, 0, 2) * weights[:, None]
            residuals = outputs[:, None] - np.matmul(
                found.transpose(1, 0, 2), columns
            ).transpose(1, 0, 2)  # fmt: skip
            residuals /= _room(leverage)
            # Without a network the squares are less by what it added.
            without = squares[:, :, None] - weights[:, None] * residuals**2 * _room(leverage)
            place = without.argmin(1)
            taken = np.take_along_axis(without, place[:, None], 1)[:, 0]
            closer = taken < best_without
            left_out = np.where(
                closer, np.take_along_axis(residuals, place[:, None], 1)[:, 0], left_out
            )
            best_without = np.where(closer, taken, best_without)
        self.errors[rows] = left_out

    def leave_one_out(self) -> Floats:
        return _root_mean_square(self.errors, self.sample.counts)

    def predict(self, logs: Floats) -> Floats:
        return np.asarray(1 - self.coefficients @ self.form.columns(logs).T)


class GaussianProcess:
    """logit(accuracy) as a linear trend in logs and a smooth deviation from it.

    scikit-learn finds the kernel's numbers on the whole sample; a resample keeps them. Left out
    are single networks, not the choice of the numbers (Rasmussen & Williams, eq. 5.12).
    """

    def __init__(self, observations: Observations) -> None:
        self.images = observations.images
        self.logs = observations.logs
        outputs = clipped_logit(observations.mean, self.images)
        self.centre, self.scale = float(outputs.mean()), max(float(outputs.std()), 1e-9)
        noise = observations.variance / (observations.slope * self.scale) ** 2
        axes = self.logs.shape[1]
        kernel = (
            ConstantKernel(10.0, "fixed") * DotProduct(1.0, "fixed")
            + ConstantKernel(0.3, (1e-3, 1e2)) * RBF(np.ones(axes), (0.3, 10.0))
            + WhiteKernel(0.05, (1e-6, 1e1))
        )
        regressor = GaussianProcessRegressor(kernel, alpha=noise, random_state=0)
        with warnings.catch_warnings():
            # A length at its bound is an axis that does nothing beside the trend.
            warnings.simplefilter("ignore", ConvergenceWarning)
            regressor.fit(self.logs, (outputs - self.centre) / self.scale)
        self.kernel = regressor.kernel_.k1  # without the noise
        self.noise = noise + regressor.kernel_.k2.noise_level

    def fit(self, sample: Sample) -> "_FittedProcess":
        return _FittedProcess(self, sample)


class _FittedProcess:
    def __init__(self, form: GaussianProcess, sample: Sample) -> None:
        self.form, self.sample = form, sample
        outputs = (clipped_logit(sample.accuracy, form.images) - form.centre) / form.scale
        # A network that counts k times has a k-th of the noise; one that does not says nothing.
        roots = np.sqrt(sample.counts / form.noise)
        covariance = form.kernel(form.logs)
        inner = np.eye(len(form.noise)) + roots[:, :, None] * covariance * roots[:, None, :]
        inverse = roots[:, :, None] * np.linalg.inv(inner) * roots[:, None, :]
        self.weights = np.einsum("rpq,rq->rp", inverse, outputs)
        diagonal = np.einsum("rpp->rp", inverse)
        drawn = sample.counts > 0
        left_out = outputs - self.weights / np.where(drawn, diagonal, 1.0)
        self.left_out = np.where(drawn, form.centre + form.scale * left_out, 0.0)

    def leave_one_out(self) -> Floats:
        return _root_mean_square(expit(self.left_out) - self.sample.accuracy, self.sample.counts)

    def predict(self, logs: Floats) -> Floats:
        mean = self.weights @ self.form.kernel(self.form.logs, logs)
        return np.asarray(expit(self.form.centre + self.form.scale * mean))


def _ridged(moments: Floats) -> Floats:
    size = moments.shape[-1]
    scale = np.trace(moments, axis1=-2, axis2=-1)[..., None, None] / size
    return np.asarray(moments + (_RIDGE * scale + 1e-300) * np.eye(size))


def _room(leverage: Floats) -> Floats:
    """1 − leverage; a network that alone decides its own value is predicted from next to
    nothing without it."""
    return np.asarray(np.maximum(1 - leverage, 1e-6))


def _root_mean_square(errors: Floats, counts: Floats) -> Floats:
    return np.asarray(np.sqrt((counts * errors**2).sum(1) / counts.sum(1)))


def _require_rank(features: Floats, form: str, logs: Floats) -> None:
    if np.linalg.matrix_rank(features) < features.shape[1]:
        levels = [len(np.unique(logs[:, axis].round(9))) for axis in range(logs.shape[1])]
        raise _same_everywhere(form, levels, 3)


def _same_everywhere(form: str, levels: Sequence[int], least: int) -> ScalingError:
    names = ["depths", "widths", "resolutions", *(["values"] * len(levels))]
    found = ", ".join(f"{number} {name}" for number, name in zip(levels, names, strict=False))
    return ScalingError(
        f"the networks have {found}: too few combinations for the {form} form; expected {least} "
        "or more of each (more fit.points, or another baseline)"
    )
