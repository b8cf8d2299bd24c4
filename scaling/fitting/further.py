"""Networks that were trained otherwise than a fit's own, as further points of it.

Members that were trained for good: the levels are theirs, and so is what lies beyond the networks
that a fit trains itself. And candidates of the search: where it had a target they cost about the
same, and tell which depth, width and resolution is worth having at that cost.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from blocks.arch import ArchSpec, format_arch, parse_arch
from blocks.errors import one_line
from blocks.names import counted
from scaling.compound import ScalingError
from scaling.fitting.design import Point
from scaling.fitting.lattice import nominal_logs, realised_logs
from scaling.fitting.observations import Floats, Observations
from scaling.training.record import MODEL
from scaling.training.result import BY_SIZE, Trained, read_trained
from search.config.quality import Quality
from search.record.folder import StudyFolder
from search.record.trials import TrialRecord
from search.study.study import OpenStudy

FEWEST: Final = 8
"""Candidates of a search that are worth taking in."""


@dataclass(frozen=True)
class FurtherPoint:
    """A network that was trained otherwise than the design is: `names` of its trainings, whose
    validation images gave `values`; `ratio` is that of its macs to B0's, `logs` those of its depth,
    width and resolution; `schedule` is its place among those of `Further`, from 1."""

    names: tuple[str, ...]
    arch: ArchSpec
    ratio: float
    values: tuple[float, ...]
    schedule: int
    logs: tuple[float, ...]


@dataclass(frozen=True)
class Further:
    """What a fit takes in. `schedules`: of each its digest, and what is said of it. `left_out`: a
    line for each training that is not of this surface."""

    points: tuple[FurtherPoint, ...] = ()
    schedules: tuple[tuple[str, str], ...] = ()
    left_out: tuple[str, ...] = ()

    def added_to(self, observations: Observations) -> Observations:
        """These behind what a design has observed, at its longest schedule."""
        if not self.points:
            return observations
        rest = np.zeros(observations.logs.shape[1] - 3)
        logs = [[*each.logs, *rest] for each in self.points]
        return replace(
            observations,
            logs=np.vstack([observations.logs, np.array(logs)]),
            accuracy=(*observations.accuracy, *(np.array(each.values) for each in self.points)),
            schedules=(*[0] * len(observations), *(each.schedule for each in self.points)),
        )

    @property
    def archs(self) -> set[str]:
        """The spellings of all networks."""
        return {format_arch(each.arch) for each in self.points}

    @property
    def largest(self) -> float:
        """The most macs over B0's; 0 where there is none."""
        return max((each.ratio for each in self.points), default=0.0)

    def to_mapping(self, predicted: Floats) -> list[dict[str, Any]]:
        """What fit.json says; `predicted`: of each point, what the others expect of it."""
        return [
            {
                "names": list(point.names),
                "schedule": self.schedules[point.schedule - 1][1],
                "macs_ratio": round(point.ratio, 4),
                "reached": float(np.mean(point.values)),
                "predicted_by_the_others": float(expected),
                "arch": format_arch(point.arch),
            }
            for point, expected in zip(self.points, predicted, strict=True)
        ]


def read_candidates(study: OpenStudy, quality: Quality, design: Sequence[Point]) -> Further:
    """What a study's search has trained by its whole proxy, of any shape, about as far from B0 as
    the networks of the design, which are not taken in twice.

    Raises:
        ScalingError: these are fewer than `FEWEST`, or were not trained from random weights.
        StudyError: a line of the file is damaged.
    """
    config, baseline = study.config, study.baseline
    if config.evaluator != "train" or config.inherits:
        raise ScalingError(
            f"fit.candidates=true: the search of {study.folder.study} did not train its candidates "
            "from random weights (evaluator=train without proxy.init_from); expected one that did"
        )
    own = {point.arch for point in design}
    groups: dict[str, list[TrialRecord]] = {}
    for record in study.folder.completed():
        if record.arch not in own:
            groups.setdefault(record.arch, []).append(record)
    points = [
        candidate_point(
            baseline.arch,
            spelling,
            tuple(f"trial {each.number}" for each in records),
            records[0].cost.macs / baseline.cost.macs,
            tuple(quality.of(each.metrics) for each in records),
        )
        for spelling, records in groups.items()
    ]
    places = np.array([point.logs for point in design])
    near = tuple(point for point in points if as_near(np.array(point.logs), places))
    if len(near) < FEWEST:
        raise ScalingError(
            f"fit.candidates=true: {study.folder.trials} has {counted(len(near), 'network')} "
            f"trained to the end and as near to b0 as the fit's own; expected {FEWEST} or more"
        )
    left_out = tuple(
        f"{', '.join(point.names)} (farther from b0 than the networks of the fit)"
        for point in points
        if point not in near
    )
    how = f"the search, {counted(config.proxy.epochs, 'epoch')}"
    return Further(near, (("search", how),), left_out)


def candidate_point(
    baseline: ArchSpec,
    spelling: str,
    names: tuple[str, ...],
    ratio: float,
    values: tuple[float, ...],
) -> FurtherPoint:
    """A network of any shape, `ratio` times the macs of `baseline`, at its nominal place."""
    arch = parse_arch(spelling)
    logs = nominal_logs(baseline, arch, ratio)
    return FurtherPoint(names, arch, ratio, values, 1, tuple(logs))


def as_near(logs: Floats, design: Floats) -> bool:
    """Whether a place (3,) is within the design's (networks, 3), or as far beyond as these span:
    what lies farther would stretch the polynomials that are fitted to the design."""
    low, high = design.min(0), design.max(0)
    return bool((np.abs(logs - (low + high) / 2) <= 1.5 * (high - low) + 1e-9).all())


def read_further(study: OpenStudy, quality: Quality) -> Further:
    """What lies in a study's `trained` folder and is of the surface around its B0.

    Raises:
        ScalingError: there are no two different networks that were trained alike.
        StudyError: a file is damaged.
    """
    baseline, folder = study.baseline.arch, study.folder
    base = study.baseline.cost.macs
    kept: dict[str, dict[str, list[Trained]]] = {}
    left_out: list[str] = []
    for each in _trained(folder):
        reason = _why_not(each, baseline, study.data.sha256, quality)
        if reason is not None:
            left_out.append(f"{each.name} ({reason})")
            continue
        group = kept.setdefault(each.schedule, {}).setdefault(each.content["arch"], [])
        own = each.content["recipe"]
        apart = [n for n in BY_SIZE if group and own.get(n) != group[0].content["recipe"].get(n)]
        if apart:  # no seed of the same training
            left_out.append(f"{each.name} (recipe.{apart[0]} is not {group[0].name}'s)")
            continue
        group.append(each)
    points: list[FurtherPoint] = []
    schedules: list[tuple[str, str]] = []
    for digest, networks in kept.items():
        several = list(networks.values())
        if len(several) < 2:
            names = ", ".join(each.name for each in several[0])
            left_out.append(f"{names} (no other network was trained alike)")
            continue
        schedules.append((digest, about_schedule(several[0][0].content)))
        for group in several:
            logs = realised_logs(
                baseline, parse_arch(group[0].content["arch"]), study.baseline.num_classes
            )
            points.append(_point(group, base, len(schedules), quality, tuple(logs)))
    if not points:
        why = f": {'; '.join(left_out)}" if left_out else ""
        raise ScalingError(
            f"fit.trained=true: {folder / 'trained'} has no two members that were trained alike"
            f"{why}; expected b0 and one more: python -m scaling train study={folder.study} "
            "member=b0..b2"
        )
    return Further(tuple(points), tuple(schedules), tuple(left_out))


def about_schedule(content: Mapping[str, Any]) -> str:
    """How a network was trained, in words."""
    recipe = content["recipe"]
    return f"recipe {recipe['name']}, {counted(recipe['epochs'], 'epoch')}"


def grows_from(baseline: ArchSpec, arch: ArchSpec) -> bool:
    """Whether `arch` is `baseline` with other repeats, channels and resolution, else the same."""
    wide = [(bool(each.head), bool(each.head_hidden)) for each in (arch, baseline)]
    if len(arch.stages) != len(baseline.stages) or wide[0] != wide[1]:
        return False
    stages = tuple(
        replace(own, repeats=base.repeats, channels=base.channels)
        for own, base in zip(arch.stages, baseline.stages, strict=True)
    )
    plain = replace(
        arch,
        stem=baseline.stem,
        head=baseline.head,
        head_hidden=baseline.head_hidden,
        stages=stages,
    )
    return format_arch(plain.with_image(baseline.image)) == format_arch(baseline)


def _trained(folder: StudyFolder) -> Sequence[Trained]:
    paths = sorted((folder / "trained").glob(f"*/{MODEL}"))
    return [read_trained(path.parent) for path in paths]


def _why_not(trained: Trained, baseline: ArchSpec, sha256: str, quality: Quality) -> str | None:
    """Why a training is not of the surface, in words."""
    content = trained.content
    try:
        _ = trained.schedule, about_schedule(content), content["cost"]["macs"] / 1
        if not grows_from(baseline, parse_arch(content["arch"])):
            return "not grown from b0"
        if content["dataset"]["sha256"] != sha256:
            return "trained on other images"
        if quality.name not in content["metrics"]["val"]:
            return f"its model.yaml has no {quality.words} of the validation images"
    except (KeyError, TypeError, ValueError) as error:
        return f"its model.yaml is damaged: {one_line(error)}"
    return None


def _point(
    group: Sequence[Trained], base: int, schedule: int, quality: Quality, logs: tuple[float, ...]
) -> FurtherPoint:
    first = group[0].content
    return FurtherPoint(
        tuple(each.name for each in group),
        parse_arch(first["arch"]),
        first["cost"]["macs"] / base,
        tuple(float(each.content["metrics"]["val"][quality.name]) for each in group),
        schedule,
        logs,
    )
