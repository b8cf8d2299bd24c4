"""What the trainings around a B0 leave possible: surfaces of accuracy, each as likely as it is.

The logit of accuracy is a polynomial of depth, width and resolution (`polynomials`) with normal
priors on its coefficients, plus what is a network's own and what a seed adds. How large the
coefficients are, and how large the two noises, is not known beforehand: it is drawn along with
the rest (Gelman et al., Bayesian Data Analysis, ch. 5 and 14). So a surface is as curved as the
networks say, and where they say little, surfaces differ widely: nothing is chosen, and no choice
has to be corrected for.

The prior knows one thing: that cost buys accuracy. Slopes along depth, width and resolution, each
in doublings of the cost, are a common one and deviations from it.

Networks of another schedule, trained by the search or for long by a recipe, are of the same
surface. It lies higher for them, and a doubling of the cost may buy more or less: each schedule has
a level and a slope of its own, and one more noise (two fidelities, as of Kennedy and O'Hagan,
Biometrika 2000).
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Final, NamedTuple

import numpy as np
from scipy.special import expit, logsumexp
from scipy.stats import multivariate_normal, qmc

from blocks.threads import on_one_thread
from scaling.fitting.observations import Floats, Integers, Observations
from scaling.fitting.polynomials import POWERS, Polynomials

SCALES: Final = {
    "slopes": (0.003, 0.5),  # deviations of the slopes along the axes from their common one
    "curvature": (0.002, 0.3),  # coefficients of degree 2
    "roughness": (0.05, 1.0),  # those of a degree over those of the degree before
    "network": (0.002, 0.2),  # a network's own deviation from the surface
    "seed": (0.003, 0.3),  # deviation of a training over seeds
}
"""Least and most of each scale, in logits; alike likely on a scale of logs in between."""
OTHERWISE: Final = {"otherwise": (0.003, 0.3)}
"""Likewise, where there is another schedule: a network's deviation from the surface by it."""
COMMON: Final = 1.0
"""Deviation of the common slope."""
LEVEL: Final = 2.0
"""Deviation of the level from the mean of what was observed."""
STEEPER: Final = 0.02
"""Deviation of what a doubling of the cost buys by another schedule from what it buys by the
design's, in logits."""
DRAWS: Final = 256
"""Scales that are tried in each stage: the first by the prior, others where it was likely."""
STAGES: Final = 3
LIKELY: Final = 1e-3
"""Of the likeliest scales' weight, below which others are passed over."""
WIDER: Final = 1.5
"""Of the variance of the scales of the stage before."""


@dataclass(frozen=True)
class Posterior:
    """`draws` surfaces, all alike likely: `coefficients` (draws, products), on the logit.

    `scales` (tried, 5 or 6) are those that were tried, `weights` (tried,) how likely each is.
    `predicted` (networks,) is what is expected of each network by all others. `shifts` (draws, 2 ×
    schedules but the design's): the level of each, and by how much it is steeper.
    """

    observations: Observations
    polynomials: Polynomials
    coefficients: Floats
    centre: float
    scales: Floats
    weights: Floats
    predicted: Floats
    shifts: Floats

    def predict(self, logs: Floats, schedule: int = 0) -> Floats:
        """(points, axes) → (draws, points): accuracy by a schedule of the observations."""
        logits = self.centre + self.coefficients @ self.polynomials.of(logs).T
        if schedule:
            level, steeper = self.shifts[:, 2 * schedule - 2 : 2 * schedule].T
            logits = logits + level[:, None] + np.outer(steeper, doublings(logs))
        return np.asarray(expit(logits))

    @property
    def names(self) -> list[str]:
        """Of the scales."""
        return list({**SCALES, **OTHERWISE})[: self.scales.shape[1]]

    def scale(self, name: str) -> float:
        """The likely value of one of `SCALES` or `OTHERWISE`: the mean of its log."""
        column = self.names.index(name)
        return float(np.exp(self.weights @ np.log(self.scales[:, column])))

    @cached_property
    def leave_one_out(self) -> float:
        """Root mean square error, in accuracy, of the design's networks predicted by all others."""
        missed = (self.predicted - self.observations.mean)[self.observations.schedule == 0]
        return float(np.sqrt(np.mean(missed**2)))

    @property
    def noise(self) -> float:
        """Deviation of one training's accuracy over seeds, typical of the networks."""
        return float(self.scale("seed") * np.median(self.observations.slope))


class _Model:
    """The regression, for many scales at once.

    In units of their prior deviations the coefficients have the precision I + S·Xᵀ·N⁻¹·X·S, S being
    these deviations and N the noise of the networks. It only depends on how many trainings a
    network has, and on whether they are by the design's schedule: networks are added up by that.
    """

    def __init__(
        self, observations: Observations, polynomials: Polynomials, powers: tuple[float, ...]
    ) -> None:
        shared = len(powers)
        outputs = observations.outputs
        self.centre = float(outputs[observations.schedule == 0].mean())
        left = self.left = outputs - self.centre
        self.features = polynomials.of(observations.logs)
        self.rotation = np.eye(self.features.shape[1])
        total = polynomials.total
        self.total = total
        linear = [
            int(np.flatnonzero((total == 1) & (polynomials.degrees[:, axis] == 1))[0])
            for axis in range(polynomials.degrees.shape[1])
        ]
        self.linear, self.common = linear[:shared], linear[0]
        # Of the slopes along the first axes: their mean, and what is at right angles to it.
        basis = np.linalg.qr(np.column_stack([np.ones(shared), np.eye(shared)[:, 1:]]))[0]
        self.rotation[np.ix_(self.linear, self.linear)] = basis
        self.own = linear[shared:]
        self.features = self.features @ self.rotation
        others = observations.others
        cost = doublings(observations.logs, powers)[:, None]
        self.shifts = np.stack([others, others * cost], axis=2).reshape(len(left), -1)
        self.features = np.column_stack([self.features, self.shifts])
        self.trainings = observations.trainings
        self.otherwise = (observations.schedule > 0).astype(np.int64)
        self.squares = observations.squares
        self.freedom = int((self.trainings - 1).sum())

    def deviations(self, scales: Floats) -> Floats:
        """(tried, products): of the coefficients, by the prior."""
        slopes, curvature, roughness, *_ = scales.T
        found = np.empty((len(scales), len(self.total)))
        found[:, self.total == 0] = LEVEL
        found[:, self.total == 1] = slopes[:, None]
        found[:, [self.common, *self.own]] = COMMON
        for degree in range(2, int(self.total.max()) + 1):
            found[:, self.total == degree] = (curvature * roughness ** (degree - 2))[:, None]
        shifts = np.tile([LEVEL, STEEPER], (len(scales), self.shifts.shape[1] // 2))
        return np.column_stack([found, shifts])

    def solve(self, scales: Floats) -> "_Solved":
        """The regression with each of the scales."""
        deviations = self.deviations(scales)
        moments, sides = 0.0, 0.0
        likelihood = np.zeros(len(scales))
        for number, other in sorted({*zip(self.trainings, self.otherwise, strict=True)}):
            rows = (self.trainings == number) & (self.otherwise == other)
            noise = _noise(scales, number, other)
            features, left = self.features[rows], self.left[rows]
            moments = moments + (features.T @ features) / noise[:, None, None]
            sides = sides + (features.T @ left) / noise[:, None]
            likelihood -= 0.5 * (left @ left / noise + rows.sum() * np.log(noise))
        precision = deviations[:, :, None] * moments * deviations[:, None, :]
        precision = precision + np.eye(precision.shape[1])
        factors = np.linalg.cholesky(precision)
        known = np.linalg.solve(factors, (deviations * sides)[:, :, None])[:, :, 0]
        diagonals = np.diagonal(factors, axis1=1, axis2=2)
        likelihood += 0.5 * (known**2).sum(1) - np.log(diagonals).sum(1)
        seed = scales[:, list(SCALES).index("seed")]
        likelihood -= self.squares / (2 * seed**2) + self.freedom * np.log(seed)
        return _Solved(likelihood, deviations, np.asarray(factors), np.asarray(known))


class _Solved(NamedTuple):
    """Of scales that were tried, (tried,) log likelihoods, (tried, products) deviations of the
    coefficients, (tried, products, products) Cholesky factors of their precision, and (tried,
    products) the data behind these."""

    likelihood: Floats
    deviations: Floats
    factors: Floats
    known: Floats

    def and_more(self, more: "_Solved") -> "_Solved":
        """Both, one after the other."""
        return _Solved(*(np.concatenate(pair) for pair in zip(self, more, strict=True)))


@on_one_thread
def infer(
    observations: Observations,
    draws: int,
    seed: int,
    powers: tuple[float, ...] = POWERS,
) -> Posterior:
    """The surfaces that these trainings leave possible.

    The scales are found by importance sampling in `STAGES` stages (population Monte Carlo, Cappé
    et al. 2004); the coefficients, given scales, are normal.
    """
    generator = np.random.default_rng(seed)
    polynomials = Polynomials.over(observations.logs, powers)
    model = _Model(observations, polynomials, powers)
    sought = SCALES | (OTHERWISE if observations.schedule.any() else {})
    low, high = np.log(np.array(list(sought.values()))).T
    logs = low + (high - low) * qmc.Sobol(len(low), seed=generator).random(DRAWS)
    proposals: list[tuple[Floats, Floats]] = []
    solved = model.solve(np.exp(logs))
    for stage in range(1, STAGES + 1):
        chances = solved.likelihood - _log_density(logs, proposals, low, high)
        chances[((logs < low) | (logs > high)).any(1)] = -np.inf
        weights = np.exp(chances - logsumexp(chances))
        if stage == STAGES:
            break
        # The first stage has few draws where it matters: they are made more alike.
        flat = np.exp((chances - chances.max()) / (2 if stage == 1 else 1))
        flat /= flat.sum()
        mean = flat @ logs
        spread = (logs - mean).T @ ((logs - mean) * flat[:, None])
        spread = WIDER * (spread + np.diag((0.05 * (high - low)) ** 2))
        proposals.append((mean, spread))
        more = generator.multivariate_normal(mean, spread, DRAWS)
        logs = np.concatenate([logs, more])
        solved = solved.and_more(model.solve(np.exp(more)))
    chosen = generator.choice(len(logs), draws, p=weights)
    normal = generator.standard_normal((draws, solved.known.shape[1]))
    standard = np.linalg.solve(
        solved.factors[chosen].transpose(0, 2, 1), (solved.known[chosen] + normal)[:, :, None]
    )[:, :, 0]
    drawn = solved.deviations[chosen] * standard
    products = len(model.total)
    return Posterior(
        observations,
        polynomials,
        drawn[:, :products] @ model.rotation.T,
        model.centre,
        np.exp(logs),
        weights,
        _left_out(model, np.exp(logs), weights, solved),
        drawn[:, products:],
    )


def doublings(logs: Floats, powers: tuple[float, ...] = POWERS) -> Floats:
    """(points, axes) → (points,): of the cost over B0's, by depth, width and resolution."""
    return np.asarray(logs[:, : len(powers)] @ np.array(powers) / np.log(2))


def _noise(scales: Floats, trainings: Integers, otherwise: Integers) -> Floats:
    """Variance of the mean logit of networks of so many trainings, `otherwise` 1 for those of
    another schedule: by many scales, (tried, 5 or 6), of one network, or by one, of many."""
    network, seed, *more = scales.T[list(SCALES).index("network") :]
    own = more[0] ** 2 if more else 0.0
    return np.asarray(network**2 + seed**2 / trainings + own * otherwise)


def _log_density(
    logs: Floats, proposals: list[tuple[Floats, Floats]], low: Floats, high: Floats
) -> Floats:
    """Of the scales that were tried: the mixture of all stages that they were drawn from."""
    inside = ((logs >= low) & (logs <= high)).all(1)
    densities = [np.where(inside, 1 / np.prod(high - low), 0.0)]
    densities += [multivariate_normal(mean, spread).pdf(logs) for mean, spread in proposals]
    return np.asarray(np.log(np.maximum(np.mean(densities, axis=0), 1e-300)))


def _left_out(model: _Model, scales: Floats, weights: Floats, solved: _Solved) -> Floats:
    """(networks,): the accuracy that is expected of each without its own trainings, the scales
    being those of all.

    A linear smoother's residuals without a network are those with it over 1 − its leverage.
    """
    found = np.zeros(len(model.left))
    likely = np.flatnonzero(weights > LIKELY * weights.max())
    for row in likely:
        spread = np.linalg.solve(solved.factors[row], (model.features * solved.deviations[row]).T)
        leverage = (spread**2).sum(0) / _noise(scales[row], model.trainings, model.otherwise)
        residual = (model.left - solved.known[row] @ spread) / np.maximum(1 - leverage, 1e-6)
        found += weights[row] * expit(model.centre + model.left - residual)
    return np.asarray(found / weights[likely].sum())
