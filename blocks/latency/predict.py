"""A latency predictor: a table of blocks measured on this device, and interpolation between them.

A unit (`blocks.units`) that was measured is looked up. Another is interpolated: kriging (the mean
of a Gaussian process) of the logarithm of measured over modelled milliseconds, the model being
non-negative least squares over what the unit has to do (operator calls, multiply-adds by kind,
elements, parameters).

A network is the sum over its units, corrected by a power law that is fitted on the networks the
units were measured in (`blocks.latency_table`), each predicted without its own units: a small
network keeps everything in the cache, which no unit can know.

How good that is, is measured on networks that took no part in the fit; the table carries the
error, to be printed beside every prediction. The projections of `global_residual` are never
measured: a network with them is said to be outside of what was measured.
"""

import functools
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from blocks.arch import ArchSpec
from blocks.cost import ArchColumns
from blocks.errors import LatencyError, one_line
from blocks.files import write_whole
from blocks.unit_columns import UnitColumns
from blocks.units import FAMILIES, Unit, features, units_of, work

Floats = NDArray[np.float64]

FORMAT: Final = 1
"""Version of the table file; a file of another is refused."""


@dataclass(frozen=True, slots=True)
class HeldOut:
    """A network that the fit did not see. `outside` says how it leaves the measured range."""

    name: str
    arch: str
    num_classes: int
    measured_ms: float
    predicted_ms: float
    outside: str | None

    @property
    def error(self) -> float:
        """Absolute, as a fraction of what was measured."""
        return abs(self.predicted_ms / self.measured_ms - 1)


@dataclass(frozen=True, slots=True)
class Fitted:
    """A network whose units are in the table.

    `left_out_ms` is the sum of its units as interpolated from other networks' units alone.
    """

    arch: str
    num_classes: int
    measured_ms: float
    left_out_ms: float


@dataclass(frozen=True, slots=True)
class PredictionError:
    """Absolute errors in percent over `networks`, and the rank correlation (None: under 3)."""

    networks: int
    median_percent: float
    p95_percent: float
    spearman: float | None

    def __str__(self) -> str:
        rank = "" if self.spearman is None else f", Spearman {self.spearman:.3f}"
        return (
            f"median {self.median_percent:.1f}%, 95th percentile {self.p95_percent:.1f}%"
            f"{rank}, {self.networks} networks"
        )


def prediction_error(measured: Sequence[float], predicted: Sequence[float]) -> PredictionError:
    """How far predictions are from measurements, both in milliseconds.

    Raises:
        ValueError: no networks.
    """
    if not measured:
        raise ValueError("no networks to compare")
    truth, guess = np.array(measured), np.array(predicted)
    percent = 100 * np.abs(guess / truth - 1)
    return PredictionError(
        networks=len(truth),
        median_percent=float(np.median(percent)),
        p95_percent=float(np.percentile(percent, 95)),
        spearman=_spearman(truth, guess) if len(truth) > 2 else None,
    )


def _spearman(first: Floats, second: Floats) -> float:
    ranks = np.stack([_ranks(values) for values in (first, second)])
    return float(np.asarray(np.corrcoef(ranks))[0, 1])


def _ranks(values: Floats) -> Floats:
    """From 1; equal values share the mean of their ranks."""
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks: Floats = (np.cumsum(counts) - (counts - 1) / 2)[places]
    return ranks


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
        return _error_of([*self.random, *self.zoo])

    def error_lines(self) -> list[str]:
        """The measured error in words: random networks, those of the zoo, those in range."""
        parts = {
            "random": self.random,
            "zoo": self.zoo,
            "of both, inside the measured range": [
                each for each in (*self.random, *self.zoo) if each.outside is None
            ],
        }
        errors = {name: _error_of(networks) for name, networks in parts.items()}
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


def _error_of(networks: Sequence[HeldOut]) -> PredictionError | None:
    if not networks:
        return None
    return prediction_error(
        [each.measured_ms for each in networks], [each.predicted_ms for each in networks]
    )


def read_table(path: Path) -> LatencyTable:
    """The inverse of `LatencyTable.write`.

    Raises:
        LatencyError: not there, not a table file, or of another version.
    """
    try:
        content: Any = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        reason = getattr(error, "strerror", None) or one_line(error)
        raise LatencyError(f"cannot read latency table {path}: {reason}") from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        found = content.get("format") if isinstance(content, dict) else None
        raise LatencyError(
            f"{path} is not a latency table of format {FORMAT} (its format: {found!r}); "
            "`python -m blocks latency-table` writes one"
        )
    try:
        if content["unit_fields"] != [*Unit._fields, "median_ms"]:
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
    except (KeyError, TypeError, ValueError) as error:
        raise LatencyError(f"latency table {path} cannot be read: {error!r}") from None


class UnitModel:
    """Milliseconds of units: looked up where measured, else interpolated once and remembered."""

    def __init__(self, measured: Mapping[Unit, float]) -> None:
        units = list(measured)
        times = np.array(list(measured.values()))
        tasks = np.array([work(unit) for unit in units])
        self._rates = _relative_least_squares(tasks, times)
        self._kriging = _Kriging(
            np.array([features(unit) for unit in units]), np.log(times / (tasks @ self._rates))
        )
        self._known = dict(measured)
        self._by_key: dict[tuple[str, bool], dict[tuple[int, int], float]] = {}

    def total_ms(self, units: Sequence[tuple[Unit, int]]) -> float:
        """The sum over `units`, each taken as often as its number says."""
        self._interpolate([unit for unit, _ in units])
        return sum(times * self._known[unit] for unit, times in units)

    def total_ms_of(self, units: UnitColumns) -> Floats:
        """`total_ms` of every architecture, (archs,); a unit is made only of what is new."""
        known = self._by_key.setdefault((units.act, units.group_norm), {})
        distinct = units.distinct()
        new = [place for place, key in enumerate(distinct.keys) if key not in known]
        if new:
            found = list(units.units(distinct.first[new]))
            self._interpolate(found)
            for place, unit in zip(new, found, strict=True):
                known[distinct.keys[place]] = self._known[unit]
        times = np.array([known[key] for key in distinct.keys])[distinct.place]
        each = np.zeros(units.times.size)
        each[units.present] = times * units.times.reshape(-1)[units.present]
        total: Floats = each.reshape(units.times.shape).sum(0)
        return total

    def _interpolate(self, units: Sequence[Unit]) -> None:
        """See to it that all of `units` are known."""
        missing = list(dict.fromkeys(unit for unit in units if unit not in self._known))
        for start in range(0, len(missing), _AT_ONCE):
            some = missing[start : start + _AT_ONCE]
            modelled = np.array([work(unit) for unit in some]) @ self._rates
            factors = np.exp(self._kriging.predict(np.array([features(unit) for unit in some])))
            self._known.update(zip(some, (modelled * factors).tolist(), strict=True))


_AT_ONCE: Final = 1000
"""Units that are interpolated together: their distances to all measured ones are in memory."""


class Predictor:
    """Predicts milliseconds per batch with a `LatencyTable`, for its device and settings."""

    def __init__(self, table: LatencyTable) -> None:
        self.table = table
        self._model = UnitModel(table.units)
        self._factor, self._power = power_law(
            [each.left_out_ms for each in table.networks],
            [each.measured_ms for each in table.networks],
        )
        self._range = _Range(list(table.units))

    def predict_ms(self, arch: ArchSpec, num_classes: int = 1000) -> float:
        """Milliseconds of one batch of `Network(arch, num_classes)`.

        In a search most units have been met before, and a prediction is a few look-ups.
        """
        total = self._model.total_ms(units_of(arch, num_classes))
        return self._factor * math.pow(total, self._power)

    def predict_columns(
        self, columns: ArchColumns, num_classes: int = 1000, act: str = "silu"
    ) -> Floats:
        """`predict_ms` of every architecture, (archs,), whose layers have the activation `act`.

        Padding is symmetric, and the norm the same kind in all of them.
        """
        total = self._model.total_ms_of(UnitColumns(columns, num_classes, act))
        found: Floats = self._factor * np.power(total, self._power)
        return found

    def outside(self, arch: ArchSpec, num_classes: int = 1000) -> str | None:
        """How `arch` leaves the range of what was measured, in words; None where it does not."""
        found = (self._range.outside(unit) for unit, _ in units_of(arch, num_classes))
        reasons = [reason for reason in found if reason]
        if not reasons:
            return None
        more = f" (and {len(reasons) - 1} more)" if len(reasons) > 1 else ""
        return f"{reasons[0]}{more}"


def _relative_least_squares(tasks: Floats, times: Floats) -> Floats:
    """Non-negative rates that make `tasks` @ rates near `times`, in relative error.

    Coordinate descent: for so few columns it converges in a moment, and needs no library.
    """
    columns = tasks / times[:, None]
    scale = np.sqrt((columns**2).mean(axis=0))
    scale[scale == 0] = 1.0
    columns = columns / scale
    gram, target = columns.T @ columns, columns.sum(axis=0)
    # A trace of ridge: a task that no unit has gets the rate 0 instead of an undefined one.
    gram[np.diag_indices_from(gram)] += 1e-6 * len(times)
    rates = np.zeros(len(target))
    for _ in range(3000):
        for index in range(len(rates)):
            step = (target[index] - gram[index] @ rates) / gram[index, index]
            rates[index] = max(0.0, rates[index] + step)
    result: Floats = rates / scale
    return result


def power_law(inputs: Sequence[float], outputs: Sequence[float]) -> tuple[float, float]:
    """The factor and power of outputs ≈ factor · inputs^power, all positive.

    Theil and Sen's line through the logarithms (the median of all slopes), so that a network
    that something else disturbed does not count. Fewer than `_FEWEST_FOR_POWER` give a factor.
    """
    x, y = np.log(np.array(inputs)), np.log(np.array(outputs))
    power = 1.0
    if len(x) >= _FEWEST_FOR_POWER:
        first, second = np.triu_indices(len(x), 1)
        apart = np.abs(x[second] - x[first]) > 0.1
        if apart.any():
            slopes = (y[second] - y[first])[apart] / (x[second] - x[first])[apart]
            power = float(np.median(slopes))
    return float(np.exp(np.median(y - power * x))), power


_FEWEST_FOR_POWER: Final = 10


class _Kriging:
    """Gaussian-process mean with an exponential (Matérn ½) kernel.

    Length and noise are those of the least leave-one-out error (Rasmussen & Williams, 5.12).
    """

    _LENGTHS: Final = (8.0, 16.0, 32.0)
    _NOISES: Final = (0.02, 0.1, 0.5)
    _MOST: Final = 250
    """Points on which length and noise are chosen; the cubic cost is felt above."""

    def __init__(self, points: Floats, values: Floats) -> None:
        self._points = points
        self._mean = float(np.median(values))
        centred = values - self._mean
        step = -(-len(points) // self._MOST)
        few, few_values = points[::step], centred[::step]
        distances = _distances(few, few)
        candidates = [(length, noise) for length in self._LENGTHS for noise in self._NOISES]
        self.length, self.noise = min(
            candidates, key=lambda each: self._left_out(distances, few_values, *each)
        )
        kernel = np.exp(-_distances(points, points) / self.length)
        self._weights = np.linalg.solve(kernel + self.noise * np.eye(len(points)), centred)

    def predict(self, points: Floats) -> Floats:
        kernel = np.exp(-_distances(points, self._points) / self.length)
        found: Floats = self._mean + kernel @ self._weights
        return found

    @staticmethod
    def _left_out(distances: Floats, values: Floats, length: float, noise: float) -> float:
        inverse = np.linalg.inv(np.exp(-distances / length) + noise * np.eye(len(values)))
        return float(np.mean(np.abs(inverse @ values / np.diag(inverse))))


def _distances(first: Floats, second: Floats) -> Floats:
    squares = (first**2).sum(1)[:, None] + (second**2).sum(1) - 2 * first @ second.T
    found: Floats = np.sqrt(np.maximum(squares, 0.0))
    return found


class _Range:
    """What was measured of each family of units: the extent of its sizes, and its options."""

    _SIZES: Final = ("inputs", "outputs", "hidden", "out_side", "kernel", "groups")
    _OPTIONS: Final = ("act", "stride", "same", "group_norm", "pools")

    def __init__(self, units: Sequence[Unit]) -> None:
        self._extents: dict[str, dict[str, tuple[int, int]]] = {}
        self._options: dict[str, dict[str, set[object]]] = {}
        for kind in {FAMILIES[unit.kind] for unit in units}:
            mine = [unit for unit in units if FAMILIES[unit.kind] == kind]
            values = {name: [getattr(unit, name) for unit in mine] for name in self._SIZES}
            self._extents[kind] = {name: (min(each), max(each)) for name, each in values.items()}
            self._options[kind] = {
                name: {getattr(unit, name) for unit in mine} for name in self._OPTIONS
            }

    def outside(self, unit: Unit) -> str | None:
        family = FAMILIES[unit.kind]
        if family not in self._extents:
            return f"no unit {unit.kind} was measured"
        for name, (low, high) in self._extents[family].items():
            value = getattr(unit, name)
            if not low <= value <= high:
                return f"{unit.kind} of {name} {value}, measured {low} to {high}"
        for name, known in self._options[family].items():
            if getattr(unit, name) not in known:
                return f"{unit.kind} with {name} {getattr(unit, name)}, not measured"
        return None


def table_name(device: str, runtime: str, threads: int, batch: int) -> str:
    """The usual name of a table's file."""
    slug = re.sub(r"[^a-z0-9]+", "-", device.lower()).strip("-")
    return f"{slug}-{runtime}-t{threads}-b{batch}.json"


@functools.lru_cache(maxsize=8)
def load_predictor(path: Path) -> Predictor:
    """The predictor of a table file; asked again, the same one.

    Raises:
        LatencyError: see `read_table`.
    """
    return Predictor(read_table(path))
