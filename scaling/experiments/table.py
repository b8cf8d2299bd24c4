"""What an experiment found, as a file and for people: one home for leads and their intervals."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from blocks.console import millions
from blocks.files import write_whole
from blocks.names import counted
from scaling.differences import Difference, difference, in_points, pooled_noise
from scaling.experiments.bench import Bench
from scaling.training.result import Trained

ALONE: Final = "one training each: how far they differ has no interval; seeds=3 gives one"


@dataclass(frozen=True)
class Lead:
    """How far ahead, a fraction, and its interval of 95%; None: of single trainings there is
    none."""

    value: float
    low: float | None = None
    high: float | None = None

    @property
    def told(self) -> bool:
        """Whether the interval is on one side of 0."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)

    def __str__(self) -> str:
        if self.low is None or self.high is None:
            return f"{round(100 * self.value, 2) + 0.0:+.2f}"
        return in_points(self.value, self.low, self.high)

    def columns(self) -> dict[str, float | None]:
        """As the file has them."""
        ends = {"lead": self.value, "low": self.low, "high": self.high}
        return {name: None if value is None else round(value, 5) for name, value in ends.items()}


NO_LEAD: Final[dict[str, float | None]] = {"lead": None, "low": None, "high": None}


def lead_of(found: Difference) -> Lead:
    """A difference with its interval."""
    return Lead(found.value, found.low, found.high)


def leads(values: Sequence[Sequence[float]], pairs: Iterable[tuple[int, int]]) -> list[Lead]:
    """How far the mean of one row of `values` (rows, seeds) is ahead of that of another, for each
    pair of rows, by the noise of the seeds of all rows."""
    table = np.asarray(values, dtype=float)
    if table.shape[1] < 2:
        return [Lead(float(table[one, 0] - table[other, 0])) for one, other in pairs]
    noise = pooled_noise(table)
    return [lead_of(difference(table[one], table[other], noise)) for one, other in pairs]


@dataclass(frozen=True)
class Row:
    """A way: what each seed reached on the test images, a fraction; `more`: further columns."""

    name: str
    arch: str
    macs: int
    params: int
    values: tuple[float, ...]
    lead: Lead | None = None
    more: Mapping[str, object] = field(default_factory=dict)

    @property
    def mean(self) -> float:
        """Of its seeds."""
        return float(np.mean(self.values))


@dataclass(frozen=True)
class Finding:
    """`headings` and `shown` are a table for people, `said` lines below it; `paths`: the files
    that hold it all."""

    title: str
    headings: tuple[str, ...]
    shown: tuple[tuple[str, ...], ...]
    said: tuple[str, ...]
    paths: tuple[Path, ...]


def reached(trained: Trained) -> float:
    """Accuracy, or mAP, of the test images."""
    return float(trained.test[trained.measure]["value"])


def seconds_an_epoch(trained: Sequence[Trained]) -> float:
    """The mean of trainings."""
    how = [each.content["trained"] for each in trained]
    return float(np.mean([each["seconds"] / each["epochs"] for each in how]))


def row_of(name: str, trained: Sequence[Trained], lead: Lead | None = None, **more: object) -> Row:
    """A way by its trainings."""
    content = trained[0].content
    return Row(
        name,
        content["arch"],
        content["cost"]["macs"],
        content["cost"]["params"],
        tuple(reached(each) for each in trained),
        lead,
        {**more, "seconds_an_epoch": round(seconds_an_epoch(trained), 3)},
    )


def frame(rows: Sequence[Row]) -> pd.DataFrame:
    """A line for each row, as the file has it."""
    return pd.DataFrame(
        [
            {
                "variant": row.name,
                "macs": row.macs,
                "params": row.params,
                "mean": round(row.mean, 5),
                **{f"seed_{place}": round(value, 5) for place, value in enumerate(row.values)},
                **(NO_LEAD if row.lead is None else row.lead.columns()),
                **row.more,
                "arch": row.arch,
            }
            for row in rows
        ]
    )


def write_table(path: Path, table: pd.DataFrame) -> Path:
    """As CSV; the folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, table.to_csv(index=False).encode())
    return path


def finding(
    bench: Bench, rows: Sequence[Row], trained: Trained, said: Sequence[str] = ()
) -> Finding:
    """Ways compared with the first, written and shown. `trained`: any of the trainings, for what
    they were judged by; `said`: what else is to be said."""
    first = rows[0].name
    measure = "mAP" if trained.several else "accuracy"
    images = trained.content["dataset"]["test"]
    shown = tuple(
        (
            row.name,
            millions(row.macs),
            f"{100 * row.mean:.2f}",
            "" if row.lead is None else str(row.lead),
            f"{row.more['seconds_an_epoch']:.2f}" if "seconds_an_epoch" in row.more else "",
        )
        for row in rows
    )
    lines = [*verdicts(rows, first), *said]
    return Finding(
        f"{bench.experiment.name}: test {measure} of {counted(len(rows[0].values), 'seed')}, "
        f"{counted(images, 'image')}; differences in points with 95%",
        ("", "macs", measure, f"less {first}'s", "s an epoch"),
        shown,
        tuple(lines),
        (write_table(bench.path(), frame(rows)),),
    )


def verdicts(rows: Sequence[Row], first: str) -> list[str]:
    """Which are told apart from the first."""
    if len(rows[0].values) < 2:
        return [ALONE]
    told = [
        f"{row.name} is {'better' if row.lead.value > 0 else 'worse'} than {first}"
        for row in rows
        if row.lead is not None and row.lead.told
    ]
    return told or ["no way is told apart from the first"]
