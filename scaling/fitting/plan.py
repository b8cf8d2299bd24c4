"""What a surface will be fitted to: the design, as long as the time allows, and what it takes."""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np

from blocks.arch import format_arch
from blocks.errors import one_line
from scaling.config import FitConfig
from scaling.fitting.choice import enough, usable_forms
from scaling.fitting.design import Point, draw_points, repeat_points
from scaling.fitting.lattice import Lattice
from scaling.fitting.schedules import Schedules
from search.errors import StudyError
from search.record.trials import TrialRecord, read_records
from search.study.study import OpenStudy
from search.training.schedule import macs_share

DESIGN: Final = "scaling/design.json"
"""In a study's folder: the points of the last fit, and what they were made by."""
MOST: Final = 72
"""Networks of a default design, however little time they take."""
FEWEST: Final = 24
"""Networks of a default design, however long they take."""
UNTIMED: Final = 48
"""Networks of a default design where the study has trained nothing to tell the time by."""
MARGIN: Final = 0.85
"""Share of the minutes that trainings are planned for."""


@dataclass(frozen=True)
class SurfacePlan:
    """What a fit will train.

    `asked` is how many networks were asked for, where scaling makes fewer different ones.
    `ratios` are the least and the most macs, over B0's. `seconds` is the predicted time on
    `workers` processes, those that are trained already included; None: nothing tells it.
    `enlarged` is the largest resolution, where it is above that of the images, `own`.
    """

    study: str
    networks: int
    asked: int | None
    ratios: tuple[float, float]
    repeated: int
    seeds: int
    trainings: int
    seconds: float | None
    workers: int
    own: int
    enlarged: int | None


def plan_surface(study: OpenStudy, settings: FitConfig, points: Sequence[Point]) -> SurfacePlan:
    """What training these points means."""
    ratios = [point.macs / points[0].macs for point in points]
    sides = [int(point.arch[1:].partition("-")[0]) for point in points]
    own = study.data.train.images.shape[-1]
    rate, workers = _rate(study), study.config.workers.count
    work = sum(_work(point) for point in points)
    return SurfacePlan(
        study=study.folder.study,
        networks=len(points),
        asked=settings.points if len(points) < (settings.points or 0) else None,
        ratios=(min(ratios), max(ratios)),
        repeated=sum(point.trainings > 1 for point in points),
        seeds=settings.seeds,
        trainings=sum(point.trainings for point in points),
        seconds=None if rate is None else rate * work / workers,
        workers=workers,
        own=own,
        enlarged=max(sides)
        if study.config.dataset.name != "imagefolder" and max(sides) > own
        else None,
    )


def plan_points(
    study: OpenStudy,
    settings: FitConfig,
    lattice: Lattice,
    high: float,
    schedules: Schedules,
    seed: int,
) -> list[Point]:
    """The points to train: those of `DESIGN`, or new ones, which are written there.

    Raises:
        ScalingError: too few networks for a surface.
        StudyError: the file is damaged.
    """
    made_by = {
        "baseline": format_arch(study.baseline.arch),
        "rounding": lattice.rounding,
        "seed": study.config.seed,
        "epochs": list(schedules.epochs),
        "train_fraction": list(schedules.fractions),
        **{name: getattr(settings, name) for name in ("points", "repeated", "seeds", "cost")},
        "minutes": settings.minutes if settings.points is None else None,
    }
    known = _read(study, made_by)
    if known is not None:
        return known
    points = draw_points(
        lattice, settings.points or MOST, high, schedules.epochs, schedules.fractions, seed
    )
    points = repeat_points(points, settings.repeated, settings.seeds)
    if settings.points is None:
        points = _affordable(study, settings, points, schedules.axes)
    usable_forms(settings.form, len(points), schedules.axes)
    content = {"made_by": made_by, "points": [asdict(point) for point in points]}
    study.folder.write(DESIGN, json.dumps(content, indent=1) + "\n")
    return points


def _read(study: OpenStudy, made_by: dict[str, Any]) -> list[Point] | None:
    """The points of an earlier fit by the same settings."""
    path = study.folder / DESIGN
    if not path.exists():
        return None
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
        if known["made_by"] != made_by:
            return None
        return [Point(**{**each, "logs": tuple(each["logs"])}) for each in known["points"]]
    except (ValueError, KeyError, TypeError) as error:
        raise StudyError(f"{path} is damaged: {one_line(error)}") from None


def _affordable(
    study: OpenStudy, settings: FitConfig, points: list[Point], axes: int
) -> list[Point]:
    """The first points that by prediction are trained within `fit.minutes`."""
    rate = _rate(study)
    if rate is None:
        return points[:UNTIMED]
    time_left = MARGIN * 60 * settings.minutes * study.config.workers.count
    spent = np.cumsum([_work(point) * rate for point in points])
    least = max(FEWEST, enough(settings.form or "quadratic", axes))
    return points[: max(least, int((spent <= time_left).sum()))]


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
