"""Accuracy as a function of depth, width and resolution: what a form of surface is.

A product of powers has its optimum in a corner under any cost d·w²·r², so it cannot tell
coefficients. The forms of `quadratic`, `additive` and `gaussian` are curved: a quadratic in logs of
the logit of accuracy, an error of one falling power per axis (whose optimum keeps constant ratios,
as compound scaling does), and a Gaussian process. Each is fitted to many resamples at once. Logs
are natural throughout.
"""

from collections.abc import Sequence
from typing import Final, Protocol

import numpy as np

from scaling.compound import ScalingError
from scaling.fitting.observations import Floats, Sample

_RIDGE: Final = 1e-10
"""Share of a diagonal added to it, so that a resample of few networks can be solved."""


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


def ridged(moments: Floats) -> Floats:
    """Moments that can be inverted."""
    size = moments.shape[-1]
    scale = np.trace(moments, axis1=-2, axis2=-1)[..., None, None] / size
    return np.asarray(moments + (_RIDGE * scale + 1e-300) * np.eye(size))


def room(leverage: Floats) -> Floats:
    """1 − leverage; a network that alone decides its own value is predicted from next to
    nothing without it."""
    return np.asarray(np.maximum(1 - leverage, 1e-6))


def root_mean_square(errors: Floats, counts: Floats) -> Floats:
    """(resamples, networks) → (resamples,): each network as often as it counts."""
    return np.asarray(np.sqrt((counts * errors**2).sum(1) / counts.sum(1)))


def require_rank(features: Floats, form: str, logs: Floats) -> None:
    """Refuse networks that do not tell the columns of a form apart.

    Raises:
        ScalingError: names how many depths, widths and resolutions there are.
    """
    if np.linalg.matrix_rank(features) < features.shape[1]:
        levels = [len(np.unique(logs[:, axis].round(9))) for axis in range(logs.shape[1])]
        raise same_everywhere(form, levels, 3)


def same_everywhere(form: str, levels: Sequence[int], least: int) -> ScalingError:
    """What is said of axes that have too few different values for a form."""
    names = ["depths", "widths", "resolutions", *(["values"] * len(levels))]
    found = ", ".join(f"{number} {name}" for number, name in zip(levels, names, strict=False))
    return ScalingError(
        f"the networks have {found}: too few combinations for the {form} form; expected {least} "
        "or more of each (more fit.points, or another baseline)"
    )
