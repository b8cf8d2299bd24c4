"""What a response surface found, and what fit.json says of it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Final

import numpy as np

from scaling.config import FitConfig
from scaling.fitting.contour import Contour
from scaling.fitting.further import Further
from scaling.fitting.observations import Observations
from scaling.fitting.optimum import Optimum, Versus
from scaling.fitting.posterior import Posterior
from scaling.fitting.result import NAMES, Fit
from scaling.fitting.schedules import Level, Schedules
from search.assess.statistics import wilson
from search.config.quality import Quality

_TRIPLES: Final = 40
"""Triples of the region of the indistinguishable that fit.json spells out."""


@dataclass(frozen=True)
class BestNetwork:
    """Of `networks` real ones that cost the target, the one that the surface thinks best.

    Depth, width and resolution are multiples of B0's.
    """

    arch: str
    cost_ratio: float
    macs: int
    depth: float
    width: float
    resolution: float
    networks: int


@dataclass(frozen=True, kw_only=True)
class SurfaceFit(Fit):
    """What a response surface found. `optima`: at every level of `schedules`. `stuck`: axes along
    which B0 cannot grow within the cost, whose coefficients stay 1."""

    method: ClassVar[str] = "surface"
    where: ClassVar[str] = "at equal cost"

    settings: FitConfig
    observations: Observations
    failed: int
    posterior: Posterior
    contour: Contour
    schedules: Schedules
    optima: Mapping[Level, Optimum]
    network: BestNetwork
    stuck: list[str]
    further: Further

    @property
    def beside(self) -> int:
        return len(self.further.points)

    @property
    def seeming(self) -> Versus | None:
        """Of the longest schedule."""
        return self.optima[max(self.optima)].seeming

    @property
    def span(self) -> float:
        """Accuracy from the least to the most that is expected of the design's networks."""
        logs = self.observations.logs[self.observations.schedule == 0]
        return float(np.ptp(self.posterior.predict(logs).mean(0)))

    @property
    def repeated(self) -> int:
        """Networks that were trained with several seeds."""
        observed = self.observations
        return int((observed.trainings > 1)[observed.schedule == 0].sum())

    def at(self, level: Level) -> tuple[list[float], dict[str, tuple[float, float]]]:
        """The best multipliers and their intervals at a level of `optima`."""
        optimum = self.optima[level]
        return np.exp(optimum.logs).tolist(), intervals_of(optimum)

    def to_mapping(self) -> dict[str, Any]:
        """What fit.json says of it beside the coefficients."""
        observed, settings = self.observations, self.settings
        own = observed.schedule == 0
        content: dict[str, Any] = {
            "nominal_cost": round(self.coefficients.nominal_cost, 6),
            "cost": settings.cost,
            "metric": settings.metric,
            "points": int(own.sum()),
            "trainings": int(observed.trainings[own].sum()),
            "failed": self.failed,
            "leave_one_out_points": 100 * self.posterior.leave_one_out,
            "noise_points": 100 * self.posterior.noise,
            "span_points": 100 * self.span,
            "stuck": self.stuck,
            "repeated": self.repeated,
            "scales_logit": {name: self.posterior.scale(name) for name in self.posterior.names},
            "val_images": observed.images,
            **_optimum(self.optima[max(self.optima)], self.contour, settings.draws, self.quality),
            "network": asdict(self.network),
            "law_of_cost": {
                "coefficients": self.contour.coefficients.tolist(),
                "deviation_of_networks": self.contour.stairs,
            },
            "settings": asdict(settings),
        }
        if self.further.points:
            name = "trained" if settings.trained else "candidates"
            content[name] = self.further.to_mapping(self.posterior.predicted[~own])
            content["not_taken_in"] = list(self.further.left_out)
        if len(self.optima) == 1:
            epochs, fraction = self.schedules.at(())
            return content | {"epochs": epochs, "train_fraction": fraction}
        content["schedules"] = []
        for level, optimum in self.optima.items():
            epochs, fraction = self.schedules.at(level)
            content["schedules"].append(
                {
                    "epochs": epochs,
                    "train_fraction": fraction,
                    **dict(zip(NAMES, self.at(level)[0], strict=True)),
                    **_optimum(optimum, self.contour, settings.draws, self.quality),
                }
            )
        return content


def intervals_of(optimum: Optimum) -> dict[str, tuple[float, float]]:
    """95%, of each coefficient."""
    low, high = np.exp(optimum.intervals).T.tolist()
    return {name: (low[number], high[number]) for number, name in enumerate(NAMES)}


def _optimum(optimum: Optimum, contour: Contour, draws: int, quality: Quality) -> dict[str, Any]:
    """Intervals, region and rivals of an optimum, for fit.json."""
    region = np.exp(contour.logs)[optimum.region]
    step = max(1, len(region) // _TRIPLES)
    return {
        "intervals": {name: list(pair) for name, pair in intervals_of(optimum).items()},
        f"{quality.val}_predicted": float(optimum.expected[optimum.index]),
        "region": {
            "share": float(optimum.region.mean()),
            **{
                name: [float(region[:, n].min()), float(region[:, n].max())]
                for n, name in enumerate(NAMES)
            },
            "triples": region[::step].round(4).tolist(),
        },
        "versus": {name: _versus(each, draws) for name, each in optimum.versus.items()},
        **({} if optimum.seeming is None else {"seems_best": _versus(optimum.seeming, draws)}),
    }


def _versus(versus: Versus, draws: int) -> dict[str, Any]:
    return {
        "difference": versus.difference,
        "interval": list(versus.interval),
        "probability": versus.probability,
        "probability_interval": list(wilson(versus.probability, draws)),
        "indistinguishable": versus.indistinguishable,
    }
