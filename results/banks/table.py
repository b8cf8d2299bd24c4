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
    """Members that were trained by every schedule. `tests` (members, seeds): test accuracy after
    the long trainings."""

    bank: Bank
    archs: tuple[str, ...]
    schedules: dict[str, Curves]
    tests: Array

    @property
    def truth(self) -> Array:
        """(members,): mean test accuracy."""
        return self.tests.mean(1)

    @property
    def truth_noise(self) -> float:
        """Variance of `truth` over seeds."""
        return float(self.tests.var(1, ddof=1).mean() / self.tests.shape[1])

    @property
    def reliability(self) -> float:
        """Share of the variance of `truth` that is the networks'."""
        return max(0.0, 1 - self.truth_noise / float(self.truth.var(ddof=1)))

    def features(self) -> Array:
        """Shapes and costs, (members, features)."""
        columns = ArchColumns.from_archs([parse_arch(arch) for arch in self.archs])
        costs = columns.count(self.bank.classes)
        return np.column_stack(
            [describe_shape(columns), np.log(costs.params), np.log(costs.activations)]
        )


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


def table_of(name: str, lines: Iterable[dict[str, Any]], archs: set[str] | None = None) -> Table:
    """The members that are whole."""
    bank = BANKS[name]
    found: dict[str, dict[tuple[str, int], dict[str, Any]]] = defaultdict(dict)
    for line in lines:
        found[line["arch"]][line["schedule"], line["replicate"]] = line
    wanted = {(s.name, seed) for s in bank.schedules for seed in range(s.seeds)}
    whole = {
        arch: of for arch, of in found.items()
        if wanted <= set(of) and (archs is None or arch in archs)
    }  # fmt: skip
    schedules = {}
    for schedule in bank.schedules:
        each = [
            [of[schedule.name, seed] for seed in range(schedule.seeds)] for of in whole.values()
        ]
        curves = np.array([[line["curve"] for line in seeds] for seeds in each], dtype=float)
        curves = curves.reshape(len(each), schedule.seeds, -1, 3)
        schedules[schedule.name] = Curves(
            curves[0, 0, :, 0].astype(np.int64) if len(each) else np.zeros(0, dtype=np.int64),
            curves[..., 1],
            curves[..., 2],
            np.array([[line["flipped"][0] for line in seeds] for seeds in each]),
        )
    long = bank.schedules[-1]
    tests = np.array(
        [[of[long.name, seed]["test"][1] for seed in range(long.seeds)] for of in whole.values()]
    )
    return Table(bank, tuple(whole), schedules, tests)
