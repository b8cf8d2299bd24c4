"""Accuracy as a function of depth, width and resolution: forms, their errors, their optimum.

A product of powers has its optimum in a corner under any cost d·w²·r², so it cannot tell
coefficients. The forms here are curved: a quadratic in logs of the logit of accuracy, an error of
one falling power per axis (whose optimum keeps constant ratios, as compound scaling does), and a
Gaussian process. They are compared by what each predicts of a network that it was not shown.

A bootstrap repeats it: networks and seeds are weighted anew, every form is refitted, the form is
chosen again, and its optimum found again. Only the weights of the regression (seeds' noise and
misfit) and the numbers of the Gaussian process's kernel are those of the whole sample. What is
drawn are exponential weights (Rubin 1981), which leave no network out: drawn with replacement a
third of them would be missing, and intervals of ten coefficients from some seventy networks too
wide. All resamples are refitted together. Logs are natural throughout.
"""

import itertools
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, DotProduct, WhiteKernel

from scaling.compound import ScalingError

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

SPARE: Final = 3
"""Networks that a form needs beyond its parameters: with fewer its errors are its own noise."""
EXPONENTS: Final = (0.1, 0.2, 0.35, 0.6, 1.0, 1.6, 2.5)
"""Of an axis in the additive law."""
_RIDGE: Final = 1e-10
"""Share of a diagonal added to it, so that a resample of few networks can be solved."""
_DUST: Final = 1e-9
"""Of accuracy: what sums in another order differ by."""
_CHUNK: Final = 50
"""Resamples of the additive law that are refitted together: some 100 MB."""


@dataclass(frozen=True)
class Observations:
    """What was trained.

    `logs`: (networks, axes), of the multipliers; the first three axes are depth, width and
    resolution, more are what else was varied. `accuracy`: of every training, as a fraction, one
    array per network. `images`: how many an accuracy was measured on.
    """

    logs: Floats
    accuracy: tuple[Floats, ...]
    images: int

    def __len__(self) -> int:
        return len(self.accuracy)

    @cached_property
    def unsquared(self) -> tuple[int, ...]:
        """Axes behind the first three that have two values only."""
        axes = range(3, self.logs.shape[1])
        return tuple(axis for axis in axes if len(np.unique(self.logs[:, axis].round(9))) < 3)

    @cached_property
    def mean(self) -> Floats:
        """(networks,): accuracy over seeds."""
        return np.array([float(np.mean(each)) for each in self.accuracy])

    @cached_property
    def trainings(self) -> Integers:
        """(networks,): how many seeds each has."""
        return np.array([len(each) for each in self.accuracy])

    @cached_property
    def smooth(self) -> Floats:
        """(networks,): accuracies of a plane through the logits, to take variances at."""
        features = np.column_stack([np.ones(len(self)), self.logs])
        coefficients = np.linalg.lstsq(features, _logit(self.mean, self.images), rcond=None)[0]
        return np.asarray(expit(features @ coefficients))

    @cached_property
    def dispersion(self) -> float:
        """Variance of an accuracy over seeds as a multiple of the binomial p(1 − p)/images.

        Pooled over the repeated networks; 1 where nothing was repeated. All networks are measured
        on the same images, so it may well be below 1.
        """
        binomial = self.smooth * (1 - self.smooth) / self.images
        repeated = [n for n in range(len(self)) if self.trainings[n] > 1]
        if not repeated:
            return 1.0
        squares = np.array([np.var(self.accuracy[n]) * len(self.accuracy[n]) for n in repeated])
        ratio = (squares / binomial[repeated]).sum() / (self.trainings[repeated] - 1).sum()
        return max(float(ratio), 1e-3)

    @cached_property
    def variance(self) -> Floats:
        """(networks,): of the mean accuracy of each."""
        binomial = self.smooth * (1 - self.smooth) / self.images
        return np.asarray(self.dispersion * binomial / self.trainings)

    @cached_property
    def misfit(self) -> float:
        """Variance of the logit between networks that is neither the quadratic's nor the seeds'.

        By the method of moments: with it the weighted squares are as many as the degrees of
        freedom. Where it dominates, all networks weigh the same, however often they were repeated.
        """
        features = quadratic_features(self.logs, self.unsquared)
        freedom = len(self) - int(features.shape[1])
        if freedom < 1:
            return 0.0
        outputs, seeds = _logit(self.mean, self.images), self.variance / self.slope**2

        def excess(misfit: float) -> float:
            roots = 1 / np.sqrt(seeds + misfit)
            found = np.linalg.lstsq(features * roots[:, None], outputs * roots, rcond=None)[0]
            return float((((outputs - features @ found) * roots) ** 2).sum()) - freedom

        low, high = 0.0, float(np.var(outputs)) * len(self) + 1e-12
        if excess(low) <= 0:
            return 0.0
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (middle, high) if excess(middle) > 0 else (low, middle)
        return high

    @property
    def slope(self) -> Floats:
        """(networks,): of accuracy by its logit, p(1 − p)."""
        return np.asarray(self.smooth * (1 - self.smooth))

    @cached_property
    def weights(self) -> Floats:
        """(networks,): of a regression of accuracies, 1/(variance over seeds + misfit), mean 1."""
        weights = 1 / (self.variance + self.misfit * self.slope**2)
        return np.asarray(weights / weights.mean())

    @property
    def noise(self) -> float:
        """Deviation of one training's accuracy over seeds, typical of the networks."""
        return float(np.sqrt(np.median(self.variance * self.trainings)))

    def resample(self, resamples: int, generator: np.random.Generator) -> "Sample":
        """Random weights of networks, and within each repeated one of its seeds; of mean 1."""
        weights = generator.exponential(size=(resamples, len(self)))
        accuracy = np.tile(self.mean, (resamples, 1))
        for n in np.flatnonzero(self.trainings > 1):
            each = generator.exponential(size=(resamples, int(self.trainings[n])))
            accuracy[:, n] = each @ self.accuracy[n] / each.sum(1)
        return Sample(weights / weights.mean(1, keepdims=True), accuracy)

    def itself(self) -> "Sample":
        """Every network once: the sample that is fitted first."""
        return Sample(np.ones((1, len(self))), self.mean[None, :])


@dataclass(frozen=True)
class Sample:
    """`counts`: (resamples, networks), how often each counts; `accuracy`: alike, of each."""

    counts: Floats
    accuracy: Floats


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


def quadratic_features(logs: Floats, unsquared: Sequence[int] = ()) -> Floats:
    """(points, axes) → (points, 1 + axes + axes·(axes + 1)/2): 1, x, and all products of two.

    The squares of the axes `unsquared` are left out: of two values they say nothing.
    """
    axes = logs.shape[1]
    pairs = [(i, j) for i in range(axes) for j in range(i, axes) if i != j or i not in unsquared]
    return np.column_stack([np.ones(len(logs)), logs, *(logs[:, i] * logs[:, j] for i, j in pairs)])


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
        self.outputs = _logit(sample.accuracy, form.images)
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
        outputs = _logit(observations.mean, self.images)
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
        outputs = (_logit(sample.accuracy, form.images) - form.centre) / form.scale
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


FORMS: Final[dict[str, Callable[[Observations], Form]]] = {
    "quadratic": Quadratic,
    "additive": Additive,
    "gp": GaussianProcess,
}
"""Form → what fits it."""


def parameters(form: str, axes: int) -> int:
    """Numbers that a form of so many axes is told by."""
    if form == "quadratic":
        return 1 + axes + axes * (axes + 1) // 2
    return 1 + 2 * axes  # e₀, then a factor and an exponent; trend and lengths


def enough(form: str, axes: int) -> int:
    """Different networks that a form needs."""
    return parameters(form, axes) + SPARE


def usable_forms(asked: str | None, networks: int, axes: int) -> list[str]:
    """The forms that so many networks can tell: the one asked for, or all.

    Raises:
        ScalingError: too few for it, or for any.
    """
    names = [asked] if asked is not None else list(FORMS)
    if axes > 3:
        # Its optimum would be the same at every schedule: what is asked could not be answered.
        names = [name for name in names if name != "additive"]
        if not names:
            raise ScalingError(
                "fit.form=additive has no place for fit.epochs or fit.train_fraction as a "
                "dimension; expected quadratic or gp"
            )
    found = [name for name in names if networks >= enough(name, axes)]
    if not found:
        least = min(enough(name, axes) for name in names)
        what = f"fit.form={asked}" if asked is not None else "a surface"
        raise ScalingError(
            f"{networks} different networks are too few for {what} in {axes} dimensions; expected "
            f"{least} or more (fit.points)"
        )
    return found


@dataclass(frozen=True)
class Choice:
    """The forms that were compared, their leave-one-out errors in accuracy, and the best."""

    forms: dict[str, Form]
    errors: dict[str, float]
    chosen: str
    fitted: Fitted


def choose_form(observations: Observations, names: Sequence[str]) -> Choice:
    """Fit every named form; the best predicts left-out networks best.

    Raises:
        ScalingError: the networks do not tell a form's parameters apart.
    """
    forms, fits, errors = {}, {}, {}
    for name in names:
        try:
            forms[name] = FORMS[name](observations)
        except ScalingError:
            if len(names) == 1:
                raise
            continue
        fits[name] = forms[name].fit(observations.itself())
        errors[name] = float(fits[name].leave_one_out()[0])
    if not forms:
        FORMS[names[0]](observations)  # says why
    chosen = min(errors, key=lambda name: errors[name])
    return Choice(forms, errors, chosen, fits[chosen])


@dataclass(frozen=True)
class Versus:
    """The optimum against a rival at equal cost: how much more accurate, and how surely.

    `difference` and `interval` (95%) are in accuracy, less the optimism of a choice by the same
    data; `probability` counts resamples, ties half.
    """

    difference: float
    interval: tuple[float, float]
    probability: float

    @property
    def indistinguishable(self) -> bool:
        """Whether the interval leaves open that the rival is as good."""
        return self.interval[0] <= _DUST and self.interval[1] >= -_DUST


@dataclass(frozen=True)
class Optimum:
    """The best of the candidates, and how well the data tell it from others.

    `logs`: (3,). `intervals`: 95% percentile intervals of each log. `region`: (candidates,), those
    that no 95% interval of the difference sets below the best. `forms`: share of the resamples
    that chose each form.
    """

    index: int
    logs: Floats
    accuracy: float
    intervals: Floats
    region: NDArray[np.bool_]
    versus: dict[str, Versus]
    forms: dict[str, float]


def find_optimum(
    observations: Observations,
    choice: Choice,
    candidates: Floats,
    rivals: Mapping[str, Floats],
    resamples: int,
    seed: int,
    others: Floats | None = None,
) -> Optimum:
    """Where accuracy is highest among `candidates` (points, 3) of equal cost, by the whole
    pipeline and by its bootstrap; `rivals` (3,) each are compared with it.

    `others` (axes − 3,) are the logs of what else was varied, at which to look.
    """
    extra = np.zeros(0) if others is None else others
    names = list(rivals)
    points = np.vstack([candidates, *(rivals[name] for name in names)])
    points = np.column_stack([points, np.tile(extra, (len(points), 1))])
    whole = choice.fitted.predict(points)[0]
    index = int(np.argmax(whole[: len(candidates)]))
    sample = observations.resample(resamples, np.random.default_rng(seed))
    predicted, share = _predict_chosen(choice.forms, sample, points)
    rows = np.arange(len(predicted))
    winners = predicted[:, : len(candidates)].argmax(1)
    intervals = np.quantile(candidates[winners], [0.025, 0.975], axis=0).T
    # (resamples, points): how much better the best is than each.
    better = predicted[:, [index]] - predicted
    # What is chosen by a surface looks better on it than it is. By how much a resample's choice
    # does, on the resample against on the sample, is what the sample's own choice is taken to.
    chosen = predicted[rows, winners]
    optimism = (chosen - whole[winners]).mean() - (predicted - whole).mean(0)
    # A rival beside the choice shares its luck: the less their difference is in doubt, the less.
    # Squared, as the difference itself vanishes by the square of the way (fit_coverage.py: Brier
    # scores of P are lower than with the first power on every surface).
    doubt = better.std(0) / np.maximum((chosen[:, None] - predicted).std(0), 1e-12)
    optimism = np.maximum(optimism, 0.0) * np.minimum(doubt, 1.0) ** 2
    better -= optimism
    low, high = np.quantile(better, [0.025, 0.975], axis=0)
    difference = whole[index] - whole - optimism
    tied = np.abs(better) < _DUST
    chance = ((better > 0) & ~tied).mean(0) + tied.mean(0) / 2
    versus = {
        name: Versus(
            float(difference[number]), (float(low[number]), float(high[number])),
            float(chance[number]),
        )
        for number, name in enumerate(names, len(candidates))
    }  # fmt: skip
    return Optimum(
        index,
        candidates[index],
        float(whole[index]),
        intervals,
        low[: len(candidates)] <= _DUST,
        versus,
        share,
    )


def _predict_chosen(
    forms: Mapping[str, Form], sample: Sample, points: Floats
) -> tuple[Floats, dict[str, float]]:
    """(resamples, points) by each resample's own best form, and how often each was it."""
    fits = {name: form.fit(sample) for name, form in forms.items()}
    errors = np.stack([fit.leave_one_out() for fit in fits.values()])
    best = errors.argmin(0)
    predicted = np.empty((len(sample.counts), len(points)))
    for number, fit in enumerate(fits.values()):
        rows = np.flatnonzero(best == number)
        if len(rows):
            predicted[rows] = fit.predict(points)[rows]
    return predicted, {name: float(np.mean(best == n)) for n, name in enumerate(fits)}


def _logit(accuracy: Floats, images: int) -> Floats:
    """Of an accuracy kept half an image from 0 and 1."""
    return np.asarray(logit(np.clip(accuracy, 0.5 / images, 1 - 0.5 / images)))


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
