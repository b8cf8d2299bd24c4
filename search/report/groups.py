"""Studies that differ in their seed alone, as one; and what their fronts reach together."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from search.config.quality import Quality
from search.config.steering import steers
from search.record.folder import differences, flat
from search.record.trials import TrialRecord
from search.report.facts import Facts

Floats = NDArray[np.float64]
_ALSO: Final = ("search.trials", "dataset.root", "dataset.path")
"""What two runs of one study may change, and two studies of one group may not."""


@dataclass
class Group:
    """Studies of the same settings but the seed, under one name."""

    name: str
    studies: list[Facts]

    @property
    def title(self) -> str:
        """Its name, and of how many seeds it is."""
        return f"{self.name} ({len(self.studies)} seeds)" if len(self.studies) > 1 else self.name


@dataclass(frozen=True)
class Attained:
    """By cost or trial the value that all studies of a group, half of them, and any reach."""

    at: Floats
    least: Floats
    median: Floats
    most: Floats


@dataclass
class Compared:
    """Studies side by side: their groups, what all are judged by, and the cost of the figures."""

    groups: list[Group]
    quality: Quality
    metric: str
    same_images: bool

    @cached_property
    def studies(self) -> list[Facts]:
        return [facts for group in self.groups for facts in group.studies]

    def completed(self, facts: Facts) -> list[TrialRecord]:
        """Of a study those that compare here."""
        return [
            each
            for each in facts.trained
            if not each.stopped and self.quality.val in each.metrics
        ]  # fmt: skip

    def cost(self, record: TrialRecord) -> float:
        """What the figures have as its cost."""
        return float(getattr(record.cost, self.metric))


def grouped(studies: Sequence[Facts]) -> list[Group]:
    """Studies by what steers them, the seed aside; each group named by what tells it from others,
    where that is short, or by its first study."""
    found: list[list[Facts]] = []
    for facts in studies:
        for group in found:
            if not _told(group[0], facts):
                group.append(facts)
                break
        else:
            found.append([facts])
    varied = sorted({name for one in found[1:] for name in _told(found[0][0], one[0])})
    groups = []
    for members in found:
        name = members[0].folder.study
        if len(members) > 1:
            name = _named(members[0], varied) or name
        groups.append(Group(name, members))
    return groups


def attained_fronts(compared: Compared, group: Group) -> Attained:
    """The attainment of a group's fronts: at each cost the best that costs no more.

    Source: the empirical attainment function of Grunert da Fonseca, Fonseca and Hall (EMO 2001),
    of which these are the levels of all studies, half of them, and any.
    """
    runs = []
    for facts in group.studies:
        records = compared.completed(facts)
        cost = np.array([compared.cost(each) for each in records], dtype=float)
        reached = np.array([100 * compared.quality.of(each.metrics) for each in records])
        order = np.argsort(cost, kind="stable")
        runs.append((cost[order], np.maximum.accumulate(reached[order])))
    return _attained(runs)


def attained_progress(compared: Compared, group: Group) -> Attained:
    """The best so far after each candidate, likewise."""
    runs = []
    for facts in group.studies:
        reached = [100 * compared.quality.of(r.metrics) for r in compared.completed(facts)]
        runs.append((np.arange(1.0, len(reached) + 1), np.maximum.accumulate(reached)))
    return _attained(runs)


def _attained(runs: Sequence[tuple[Floats, Floats]]) -> Attained:
    at = np.unique(np.concatenate([x for x, _ in runs]))
    values = np.full((len(runs), len(at)), -np.inf)
    for row, (x, y) in zip(values, runs, strict=True):
        last = np.searchsorted(x, at, side="right") - 1
        row[last >= 0] = y[last[last >= 0]]
    ordered = np.sort(values, axis=0)[::-1]
    all_, half, any_ = ordered[-1], ordered[(len(runs) - 1) // 2], ordered[0]
    known = np.isfinite(all_)  # where all have something
    return Attained(at[known], all_[known], half[known], any_[known])


def _told(one: Facts, other: Facts) -> list[str]:
    """What steers two studies differently, but for the seed and the name."""
    found = differences(one.config, other.config)
    names = [name for name, _, _ in found if steers(name) or name in _ALSO]
    return [name for name in names if name not in ("seed", "study")]


def _named(facts: Facts, varied: Sequence[str]) -> str:
    """`sampler=tpe, budget.target=2M`, of up to two settings."""
    if not varied or len(varied) > 2:
        return ""
    settings = flat(asdict(facts.config))
    return ", ".join(f"{name}={settings.get(name)}" for name in varied)
