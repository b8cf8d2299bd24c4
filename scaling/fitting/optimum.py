"""Where accuracy is highest at equal cost, and how surely, by a bootstrap of the whole pipeline.

Networks and seeds are weighted anew, every form is refitted, the form is chosen again, and its
optimum found again. Only the weights of the regression (seeds' noise and misfit) and the numbers
of the Gaussian process's kernel are those of the whole sample. The weights are exponential (Rubin
1981) and leave no network out: drawn with replacement a third of them would be missing, and the
intervals of ten coefficients from some seventy networks too wide. All resamples are refitted
together.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from blocks.threads import on_one_thread
from scaling.fitting.choice import Choice
from scaling.fitting.forms import Form
from scaling.fitting.observations import Floats, Observations, Sample

_DUST: Final = 1e-9
"""Of accuracy: what sums in another order differ by."""


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


@on_one_thread
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
