"""The additive form."""

import itertools
from typing import Final

import numpy as np

from scaling.fitting.forms import ridged, room, root_mean_square, same_everywhere
from scaling.fitting.observations import Floats, Integers, Observations, Sample

EXPONENTS: Final = (0.1, 0.2, 0.35, 0.6, 1.0, 1.6, 2.5)
"""Of an axis in the additive law."""
_CHUNK: Final = 50
"""Resamples of the additive law that are refitted together: some 100 MB."""


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
            raise same_everywhere("additive", levels, 2)
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
            inverse = np.linalg.inv(ridged(chosen))
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
            residuals /= room(leverage)
            # Without a network the squares are less by what it added.
            without = squares[:, :, None] - weights[:, None] * residuals**2 * room(leverage)
            place = without.argmin(1)
            taken = np.take_along_axis(without, place[:, None], 1)[:, 0]
            closer = taken < best_without
            left_out = np.where(
                closer, np.take_along_axis(residuals, place[:, None], 1)[:, 0], left_out
            )
            best_without = np.where(closer, taken, best_without)
        self.errors[rows] = left_out

    def leave_one_out(self) -> Floats:
        return root_mean_square(self.errors, self.sample.counts)

    def predict(self, logs: Floats) -> Floats:
        return np.asarray(1 - self.coefficients @ self.form.columns(logs).T)
