"""A bank as arrays."""

import gzip
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from banks import BANKS, Bank
from numpy.typing import NDArray

from blocks.arch import parse_arch
from blocks.cost import ArchColumns
from search.space.shape import describe_shape

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Curves:
    """Of one schedule: `epochs` (looks,), and (members, seeds, looks) of the validation images."""

    epochs: NDArray[np.int64]
    loss: Array
    accuracy: Array
    flipped_loss: Array  # (members, seeds), at the end


@dataclass(frozen=True)
class Table:
    """Members, and what they reached by each schedule that any was trained by. `tests` (members,
    seeds): test accuracy after the long trainings."""

    bank: Bank
    archs: tuple[str, ...]
    schedules: dict[str, Curves]
    tests: Array

    @property
    def truth(self) -> Array:
        """(members,): mean test accuracy."""
        return np.asarray(np.nanmean(self.tests, 1))

    def truth_without(self, seed: int) -> Array:
        """(members,): mean test accuracy of the other seeds; of that one where it is alone."""
        others = np.delete(self.tests, seed, axis=1)
        some = np.isfinite(others).any(1)
        found = self.tests[:, seed].copy()
        found[some] = np.nanmean(others[some], 1)
        return found

    @property
    def truth_noise(self) -> float:
        """Variance of `truth` over seeds; NaN where no member has two."""
        seeds = np.isfinite(self.tests).sum(1)
        some = self.tests[seeds > 1]
        if not len(some):
            return float("nan")
        return float(np.nanvar(some, axis=1, ddof=1).mean() * (1 / seeds).mean())

    @property
    def reliability(self) -> float:
        """Share of the variance of `truth` that is the networks'."""
        return max(0.0, 1 - self.truth_noise / float(self.truth.var(ddof=1)))

    def features(self) -> Array:
        """Shapes and costs, (members, features)."""
        columns = ArchColumns.from_archs([parse_arch(arch) for arch in self.archs])
        costs = columns.count(self.bank.classes)
        logs = [np.log(each) for each in (costs.macs, costs.params, costs.activations)]
        return np.column_stack([describe_shape(columns), *logs])


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """The trainings of a bank; a line that was cut off in the middle is left out."""
    if not path.exists():
        return
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rt", encoding="utf-8") as file:
        for line in file:
            try:
                yield json.loads(line)
            except json.JSONDecodeError:
                continue


def key(line: dict[str, Any]) -> tuple[str, str, int]:
    """Which training a line is: architecture, schedule, replicate."""
    return line["arch"], line["schedule"], line["replicate"]


def table_of(name: str, lines: Iterable[dict[str, Any]], archs: set[str] | None = None) -> Table:
    """The members that have been trained for long; what else is missing of them is NaN."""
    bank = BANKS[name]
    found: dict[str, dict[tuple[str, int], dict[str, Any]]] = defaultdict(dict)
    for line in lines:
        found[line["arch"]][line["schedule"], line["replicate"]] = line
    members = [
        arch
        for arch, of in found.items()
        if (bank.schedules[-1].name, 0) in of and (archs is None or arch in archs)
    ]
    schedules = {}
    trained = {schedule for of in found.values() for schedule, _ in of}
    for schedule in bank.schedules:
        if schedule.name not in trained:
            continue
        looks = len(schedule.looks)
        curves = np.full((len(members), schedule.seeds, looks, 3), np.nan)
        flipped = np.full((len(members), schedule.seeds), np.nan)
        tests = np.full((len(members), schedule.seeds), np.nan)
        for row, arch in enumerate(members):
            for seed in range(schedule.seeds):
                known = found[arch].get((schedule.name, seed))
                if known is not None:
                    curves[row, seed] = known["curve"]
                    flipped[row, seed] = known["flipped"][0]
                    tests[row, seed] = known.get("test", [np.nan, np.nan])[1]
        epochs = np.array(schedule.looks)
        schedules[schedule.name] = Curves(epochs, curves[..., 1], curves[..., 2], flipped)
    return Table(bank, tuple(members), schedules, tests)
