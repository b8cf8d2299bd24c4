"""The quadratic form."""

import numpy as np
from scipy.special import expit

from scaling.fitting.forms import require_rank, ridged, room, root_mean_square
from scaling.fitting.observations import (
    Floats,
    Observations,
    Sample,
    clipped_logit,
    quadratic_features,
)


class Quadratic:
    """logit(accuracy) as a quadratic in logs, by least squares weighted by inverse variances."""

    def __init__(self, observations: Observations) -> None:
        self.weights = observations.weights * observations.slope**2
        self.images = observations.images
        self.unsquared = observations.unsquared
        self.features = quadratic_features(observations.logs, self.unsquared)
        require_rank(self.features, "quadratic", observations.logs)

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
        inverse = np.linalg.inv(ridged(moments))
        self.coefficients = np.einsum("rpq,rq->rp", inverse, (weights * self.outputs) @ features)
        leverage = weights * (inverse.reshape(-1, size * size) @ products.T)
        residuals = self.outputs - self.coefficients @ features.T
        self.left_out = self.outputs - residuals / room(leverage)

    def leave_one_out(self) -> Floats:
        return root_mean_square(expit(self.left_out) - self.sample.accuracy, self.sample.counts)

    def predict(self, logs: Floats) -> Floats:
        return np.asarray(
            expit(self.coefficients @ quadratic_features(logs, self.form.unsquared).T)
        )
