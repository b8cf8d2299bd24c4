"""How good predictions are: networks that took no part in the fit, and the errors on them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class HeldOut:
    """A network that the fit did not see. `outside` says how it leaves the measured range."""

    name: str
    arch: str
    num_classes: int
    measured_ms: float
    predicted_ms: float
    outside: str | None

    @property
    def error(self) -> float:
        """Absolute, as a fraction of what was measured."""
        return abs(self.predicted_ms / self.measured_ms - 1)


@dataclass(frozen=True, slots=True)
class PredictionError:
    """Absolute errors in percent over `networks`, and the rank correlation (None: under 3)."""

    networks: int
    median_percent: float
    p95_percent: float
    spearman: float | None

    def __str__(self) -> str:
        rank = "" if self.spearman is None else f", Spearman {self.spearman:.3f}"
        return (
            f"median {self.median_percent:.1f}%, 95th percentile {self.p95_percent:.1f}%"
            f"{rank}, {self.networks} networks"
        )


def prediction_error(measured: Sequence[float], predicted: Sequence[float]) -> PredictionError:
    """How far predictions are from measurements, both in milliseconds.

    Raises:
        ValueError: no networks.
    """
    if not measured:
        raise ValueError("no networks to compare")
    truth, guess = np.array(measured), np.array(predicted)
    percent = 100 * np.abs(guess / truth - 1)
    return PredictionError(
        networks=len(truth),
        median_percent=float(np.median(percent)),
        p95_percent=float(np.percentile(percent, 95)),
        spearman=_spearman(truth, guess) if len(truth) > 2 else None,
    )


def _spearman(first: Floats, second: Floats) -> float:
    ranks = np.stack([_ranks(values) for values in (first, second)])
    return float(np.asarray(np.corrcoef(ranks))[0, 1])


def _ranks(values: Floats) -> Floats:
    """From 1; equal values share the mean of their ranks."""
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks: Floats = (np.cumsum(counts) - (counts - 1) / 2)[places]
    return ranks


def error_of(networks: Sequence[HeldOut]) -> PredictionError | None:
    """Of these networks together; None where there are none."""
    if not networks:
        return None
    return prediction_error(
        [each.measured_ms for each in networks], [each.predicted_ms for each in networks]
    )
