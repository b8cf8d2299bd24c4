"""The trained members of a family, their rivals, and what the fitted surface expected of them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from scipy.special import expit, logit

from blocks.arch import ArchSpec, parse_arch
from blocks.latency.measure import measure_latency
from blocks.subject import read_subject
from scaling.compound import ScalingError
from scaling.family.record import is_extrapolated
from scaling.fitting.saved import read_surface
from scaling.judging import Figure
from scaling.training.record import MODEL
from scaling.training.result import BY_SIZE, Trained, compare_trained, read_trained
from scaling.training.targets import member_files
from search.record.folder import StudyFolder
from search.study.baseline import read_baseline

SECONDS: Final = 2.0
"""Of measuring one latency, at most."""
_DRAWS: Final = 2000
_NORMAL: Final = 1.96


@dataclass(frozen=True)
class Row:
    """A trained network. `reached` is its accuracy on the test images, or mAP; `gain` the same less
    that of `against` on the same images: b0 for a member, its member for a rival, None for b0.

    `expected` is what the fitted surface says that `gain` would be; None: it says nothing, or has
    `taken_in` what this very network reached. `extrapolated`: it costs more macs than any network
    behind the surface. `latency_ms`: the median of one image on one thread here.
    """

    name: str
    arch: ArchSpec
    macs: int
    params: int
    latency_ms: float
    reached: Figure
    against: str | None = None
    gain: Figure | None = None
    expected: Figure | None = None
    extrapolated: bool | None = None
    is_rival: bool = False
    taken_in: bool = False

    @property
    def verdict(self) -> str:
        """What the gain says of what was expected."""
        if self.gain is None:
            return ""
        if self.is_rival:
            if self.gain.high < 0:
                return f"behind {self.against}"
            return f"ahead of {self.against}" if self.gain.low > 0 else "not told apart"
        if self.expected is None:
            if self.gain.high < 0:
                return "worse than b0"
            return "better than b0" if self.gain.low > 0 else "not told from b0"
        if self.gain.high < self.expected.low:
            return "less than expected"
        return "more than expected" if self.gain.low > self.expected.high else "as expected"


@dataclass(frozen=True)
class Promise:
    """All rows, members by their number and each followed by its rivals; `measure` is what they are
    judged by; `notes` what is to be minded."""

    study: str
    measure: str
    images: int
    rows: tuple[Row, ...]
    notes: tuple[str, ...]


def read_promise(folder: StudyFolder) -> Promise:
    """What a study's trained family has reached.

    Raises:
        ScalingError: fewer than two members are trained, or b0 is not.
        StudyError: a file is missing or damaged.
    """
    trained = dict(_trained(folder))
    members = [
        trained[name]
        for name, path in member_files(folder).items()
        if name in trained and trained[name].content["arch"] == str(read_subject(str(path)).arch)
    ]
    names = [each.name for each in members]
    if len(members) < 2 or names[0] != "b0":
        raise ScalingError(
            f"{folder / 'trained'} has {', '.join(names) or 'no member'} trained; expected b0 and "
            f"one more: python -m scaling train study={folder.study} member=b0..b3"
        )
    base = members[0]
    rows = [_row(base)]
    notes: list[str] = []
    rivals = [each for each in trained.values() if each.content.get("rival_of")]
    expected = _expected(folder, members)
    for each in members:
        if each is not base:
            rows.append(replace(_row(each, base), **expected.get(each.name, {})))
        own = [rival for rival in rivals if rival.content["rival_of"] == each.name]
        rows += [_row(rival, each, is_rival=True) for rival in own]
    for each in (*members, *rivals):
        notes += _unlike(each, base)
    images = int(base.content["dataset"]["test"])
    return Promise(folder.study, base.measure, images, tuple(rows), tuple(notes))


def _trained(folder: StudyFolder) -> Iterable[tuple[str, Trained]]:
    for path in sorted((folder / "trained").glob(f"*/{MODEL}")):
        yield path.parent.name, read_trained(path.parent)


def _row(
    trained: Trained,
    against: Trained | None = None,
    is_rival: bool = False,
) -> Row:
    cost = trained.content["cost"]
    latency = measure_latency(trained.network(), 1, 1, "eager", seconds=SECONDS)
    gain = None if against is None else compare_trained("", trained, against).gain
    return Row(
        name=trained.name,
        arch=parse_arch(trained.content["arch"]),
        macs=cost["macs"],
        params=cost["params"],
        latency_ms=latency.median_ms,
        reached=_figure(trained.test[trained.measure]),
        against=None if against is None else against.name,
        gain=gain,
        is_rival=is_rival,
    )


def _figure(values: Mapping[str, Any]) -> Figure:
    return Figure(float(values["value"]), float(values["low"]), float(values["high"]))


def _expected(folder: StudyFolder, members: Sequence[Trained]) -> dict[str, dict[str, Any]]:
    """By what the surface expects each member to be above b0, as b0 is trained now: the logit of
    b0's own accuracy, with its uncertainty, and the surface's gain on top. These are fields of
    `Row`; of members that the surface knows it is nothing."""
    chosen = read_baseline(folder)
    surface = read_surface(folder, chosen.arch)
    if surface is None or surface.quality != "accuracy" or members[0].several:
        return {}
    archs = [parse_arch(each.content["arch"]) for each in members]
    schedule = members[0].schedule
    gains = surface.gains(chosen.arch, archs, chosen.num_classes, schedule)
    base = _figure(members[0].test["accuracy"])
    draw = np.random.default_rng(0)
    spread = (base.high - base.low) / (2 * _NORMAL)
    start = np.clip(draw.normal(base.value, spread, _DRAWS), 1e-4, 1 - 1e-4)
    rows = draw.integers(len(gains), size=_DRAWS)
    above = expit(logit(start)[:, None] + gains[rows]) - start[:, None]
    macs = [each.content["cost"]["macs"] for each in members]
    found: dict[str, dict[str, Any]] = {}
    for place, each in enumerate(members):
        taken_in = each.content["arch"] in surface.known.get(each.schedule, ())
        ends = (float(end) for end in np.percentile(above[:, place], [2.5, 97.5]))
        figure = Figure(float(above[:, place].mean()), *ends)
        found[each.name] = {
            "expected": None if taken_in else figure,
            "extrapolated": is_extrapolated(macs[place], macs[0], surface.trained),
            "taken_in": taken_in,
        }
    return found


def _unlike(trained: Trained, base: Trained) -> list[str]:
    """Where a network was trained otherwise than b0."""
    own, known = dict(trained.content["recipe"]), dict(base.content["recipe"])
    for name in BY_SIZE:
        own.pop(name, None)
        known.pop(name, None)
    apart = [name for name in {**known, **own} if own.get(name) != known.get(name)]
    said = [f"recipe.{name}={own.get(name)} (b0: {known.get(name)})" for name in apart]
    for name, words in (("started_from", "from other weights"), ("teacher", "by another teacher")):
        if trained.content.get(name) != base.content.get(name):
            said.append(words)
    if trained.content["dataset"]["sha256"] != base.content["dataset"]["sha256"]:
        said.append("other images")
    return [f"{trained.name} was trained otherwise: {', '.join(said)}"] if said else []
