"""A latency table: units measured on a device, and the file that holds them."""

import json
import math
import re
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from blocks.errors import DAMAGED, LatencyError, one_line
from blocks.files import write_whole
from blocks.latency.held_out import HeldOut, PredictionError, error_of
from blocks.latency.units import Unit

FORMAT: Final = 1
"""Version of the table file; a file of another is refused."""


@dataclass(frozen=True, slots=True)
class Fitted:
    """A network whose units are in the table.

    `left_out_ms` is the sum of its units as interpolated from other networks' units alone.
    """

    arch: str
    num_classes: int
    measured_ms: float
    left_out_ms: float


@dataclass(frozen=True)
class LatencyTable:
    """Measured units and what is needed to predict by them: the content of a table file.

    `units` maps a unit to the median of its milliseconds in each network that had it. `networks`
    are those networks; `random` and `zoo` took no part in the fit.
    """

    device: str
    runtime: str
    threads: int
    batch: int
    seed: int
    date: str
    versions: dict[str, str]
    units: dict[Unit, float]
    networks: list[Fitted]
    random: list[HeldOut] = field(default_factory=list)
    zoo: list[HeldOut] = field(default_factory=list)

    @property
    def held_out_error(self) -> PredictionError | None:
        """Of all held-out networks together; None where there are none."""
        return error_of([*self.random, *self.zoo])

    def error_lines(self) -> list[str]:
        """The measured error in words: random networks, those of the zoo, those in range."""
        parts = {
            "random": self.random,
            "zoo": self.zoo,
            "of both, inside the measured range": [
                each for each in (*self.random, *self.zoo) if each.outside is None
            ],
        }
        errors = {name: error_of(networks) for name, networks in parts.items()}
        return [f"held-out {name}: {error}" for name, error in errors.items() if error is not None]

    def describe(self) -> str:
        return (
            f"{self.runtime}, {self.threads} thread{'s' if self.threads > 1 else ''}, batch "
            f"{self.batch}, {self.device}, {len(self.units):,} units of {len(self.networks)} "
            f"networks, {self.date}"
        )

    def check(self, device: str, runtime: str, threads: int, batch: int, where: str) -> None:
        """Refuse this table for other settings than its own.

        Raises:
            LatencyError: names the first that differs.
        """
        asked = {"device": device, "runtime": runtime, "threads": threads, "batch": batch}
        for name, value in asked.items():
            own = getattr(self, name)
            if own != value:
                raise LatencyError(f"{where} was measured with {name} {own}; expected {value}")

    def write(self, path: Path) -> None:
        """One JSON file, whole or not at all, a unit a line.

        Raises:
            CompoundNasError: the folder or the file cannot be written.
        """
        error = self.held_out_error
        plain = {
            "format": FORMAT,
            **{name: getattr(self, name) for name in _PLAIN_FIELDS},
            "held_out_error": asdict(error) if error else None,
            "networks": [asdict(each) for each in self.networks],
            "random": [asdict(each) for each in self.random],
            "zoo": [asdict(each) for each in self.zoo],
            "unit_fields": [*Unit._fields, "median_ms"],
        }
        head = json.dumps(plain, indent=1, ensure_ascii=False)
        rows = ",\n  ".join(json.dumps([*unit, ms]) for unit, ms in self.units.items())
        text = head.removesuffix("\n}") + f',\n "units": [\n  {rows}\n ]\n}}\n'
        write_whole(path, text.encode())


_PLAIN_FIELDS: Final = ("device", "runtime", "threads", "batch", "seed", "date", "versions")


def read_table(path: Path) -> LatencyTable:
    """The inverse of `LatencyTable.write`.

    Raises:
        LatencyError: not there, not a table file, or of another version.
    """
    try:
        content: Any = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, *DAMAGED) as error:
        reason = getattr(error, "strerror", None) or one_line(error)
        raise LatencyError(f"cannot read latency table {path}: {reason}") from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        found = content.get("format") if isinstance(content, dict) else None
        raise LatencyError(
            f"{path} is not a latency table of format {FORMAT} (its format: {found!r}); "
            "`python -m blocks latency-table` writes one"
        )
    try:
        # An older table, of square maps alone, has no `wide`, the last field.
        if content["unit_fields"] not in (
            [*Unit._fields, "median_ms"],
            [*Unit._fields[:-1], "median_ms"],
        ):
            raise ValueError(f"unit_fields {content['unit_fields']}")
        units = {Unit(*row[:-1]): float(row[-1]) for row in content["units"]}
        networks = [Fitted(**each) for each in content["networks"]]
        if not units or not networks:
            raise ValueError("no measured units")
        table = LatencyTable(
            **{name: content[name] for name in _PLAIN_FIELDS},
            units=units,
            networks=networks,
            random=[HeldOut(**each) for each in content["random"]],
            zoo=[HeldOut(**each) for each in content["zoo"]],
        )
        held_out = [*table.random, *table.zoo]
        times = [
            *units.values(),
            *(ms for each in networks for ms in (each.measured_ms, each.left_out_ms)),
            *(ms for each in held_out for ms in (each.measured_ms, each.predicted_ms)),
        ]
        if not all(math.isfinite(ms) and ms > 0 for ms in times):
            raise ValueError("a time that is not a positive number")
        return table
    except DAMAGED as error:
        raise LatencyError(f"latency table {path} cannot be read: {error!r}") from None


def table_name(device: str, runtime: str, threads: int, batch: int) -> str:
    """The usual name of a table's file."""
    slug = re.sub(r"[^a-z0-9]+", "-", device.lower()).strip("-")
    return f"{slug}-{runtime}-t{threads}-b{batch}.json"
