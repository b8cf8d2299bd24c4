"""The Gaussian process."""

import warnings

import numpy as np
from scipy.special import expit
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, DotProduct, WhiteKernel

from scaling.fitting.forms import root_mean_square
from scaling.fitting.observations import Floats, Observations, Sample, clipped_logit


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
        return root_mean_square(expit(self.left_out) - self.sample.accuracy, self.sample.counts)

    def predict(self, logs: Floats) -> Floats:
        mean = self.weights @ self.form.kernel(self.form.logs, logs)
        return np.asarray(expit(self.form.centre + self.form.scale * mean))
