"""What a surface will be fitted to: the design, as long as the time allows, and what it takes."""

import json
import math
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np

from blocks.arch import format_arch, parse_arch
from blocks.errors import DAMAGED, one_line
from scaling.config import FEWEST, FitConfig
from scaling.fitting.design import Point, draw_points, repeat_points
from scaling.fitting.lattice import Lattice
from scaling.fitting.schedules import Schedules
from search.config.quality import ACCURACY, Quality
from search.data.splits import FILES
from search.errors import StudyError
from search.record.trials import TrialRecord, read_records
from search.study.study import OpenStudy
from search.training.schedule import macs_share

DESIGN: Final = "scaling/design.json"
"""In a study's folder: the points of the last fit, and what they were made by."""
MARGIN: Final = 0.85
"""Share of the minutes that trainings are planned for."""


@dataclass(frozen=True)
class Design:
    """The networks to train, the first ones of `drawn` that scaling makes; `fit.minutes` may leave
    fewer."""

    points: list[Point]
    drawn: int

    @property
    def cut(self) -> bool:
        """Whether the time left fewer."""
        return len(self.points) < self.drawn


@dataclass(frozen=True)
class SurfacePlan:
    """What a fit will train.

    `asked` is how many networks were asked for, where there are fewer: scaling makes no more, or,
    if `cut`, `fit.minutes` leaves no more.
    `ratios` are the least and the most macs, over B0's. `seconds` is the predicted time on
    `workers` processes, those that are trained already included; None: nothing tells it.
    `enlarged` is the largest height, where it is above that of the images, `own`.
    """

    study: str
    networks: int
    asked: int | None
    cut: bool
    ratios: tuple[float, float]
    repeated: int
    seeds: int
    trainings: int
    seconds: float | None
    workers: int
    own: int
    enlarged: int | None
    quality: Quality = ACCURACY


def plan_surface(study: OpenStudy, settings: FitConfig, design: Design) -> SurfacePlan:
    """What training these points means."""
    points = design.points
    ratios = [point.macs / points[0].macs for point in points]
    sides = [parse_arch(point.arch).resolution for point in points]
    own = study.data.train.images.shape[-2]
    rate, workers = _rate(study), study.config.workers.count
    work = sum(_work(point) for point in points)
    return SurfacePlan(
        study=study.folder.study,
        networks=len(points),
        asked=settings.points if len(points) < settings.points else None,
        cut=design.cut,
        ratios=(min(ratios), max(ratios)),
        repeated=sum(point.trainings > 1 for point in points),
        seeds=settings.seeds,
        trainings=sum(point.trainings for point in points),
        seconds=None if rate is None else rate * work / workers,
        workers=workers,
        own=own,
        enlarged=max(sides)
        if study.config.dataset.name not in FILES and max(sides) > own
        else None,
        quality=study.config.quality,
    )


def plan_points(
    study: OpenStudy,
    settings: FitConfig,
    lattice: Lattice,
    high: float,
    schedules: Schedules,
    seed: int,
) -> Design:
    """The networks to train: those of `DESIGN`, or new ones, which are written there.

    Raises:
        StudyError: the file is damaged.
    """
    made_by = {
        "baseline": format_arch(study.baseline.arch),
        "rounding": lattice.rounding,
        "seed": study.config.seed,
        "epochs": list(schedules.epochs),
        "train_fraction": list(schedules.fractions),
        **{name: getattr(settings, name) for name in ("points", "repeated", "seeds", "cost")},
        "minutes": settings.minutes,
    }
    known = _read(study, made_by)
    if known is not None:
        return known
    points = draw_points(
        lattice, settings.points, high, schedules.epochs, schedules.fractions, seed
    )
    points = repeat_points(points, settings.repeated, settings.seeds)
    design = Design(_affordable(study, settings, points), len(points))
    content = {"made_by": made_by, **asdict(design)}
    study.folder.write(DESIGN, json.dumps(content, indent=1) + "\n")
    return design


def _read(study: OpenStudy, made_by: dict[str, Any]) -> Design | None:
    """The points of an earlier fit by the same settings."""
    path = study.folder / DESIGN
    if not path.exists():
        return None
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
        if known["made_by"] != made_by:
            return None
        points = [Point(**{**each, "logs": tuple(each["logs"])}) for each in known["points"]]
        return Design(points, int(known.get("drawn", len(points))))
    except DAMAGED as error:
        raise StudyError(f"{path} is damaged: {one_line(error)}") from None


def _affordable(study: OpenStudy, settings: FitConfig, points: list[Point]) -> list[Point]:
    """All points; with `fit.minutes` the first ones that by prediction are trained in that time."""
    if settings.minutes is None or (rate := _rate(study)) is None:
        return points
    time_left = MARGIN * 60 * settings.minutes * study.config.workers.count
    spent = np.cumsum([_work(point) * rate for point in points])
    return points[: max(FEWEST, int((spent <= time_left).sum()))]


def _work(point: Point) -> float:
    """What a point's trainings take, in units of `_rate`.

    On CPUs time goes with macs and with activations alike; their geometric mean is as near as any.
    """
    each = math.sqrt(point.macs * point.activations) * point.epochs * point.train_fraction
    return each * point.trainings


def _rate(study: OpenStudy) -> float | None:
    """Seconds per unit of `_work`, as the study's own trainings took; None if there is none."""
    rates = []
    share = macs_share(study.config.proxy)
    for name in ("trials.jsonl", "reference.jsonl", "controls.jsonl"):
        for record in read_records(study.folder / name):
            if isinstance(record, TrialRecord) and record.fidelity["epochs"] > 0:
                work = math.sqrt(record.cost.macs * record.cost.activations)
                work *= share * record.fidelity["epochs"]
                rates.append(sum(record.seconds.values()) / work)
    return float(np.median(rates)) if rates else None
