"""Benchmark files as search problems: a table of trained networks, and the pool that a search
may choose from."""

import gzip
import importlib.util
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution, CategoricalDistribution

from blocks.arch import ArchSpec, StageSpec, format_arch, parse_arch
from blocks.cost import CostColumns, count_many
from blocks.errors import ArchError, one_line
from search.benchmark.adapters import ADAPTERS, Rows
from search.errors import ConfigError, StudyError, did_you_mean
from search.samplers.candidates import Box, Code, Codes, Features, mutate

COSTS: Final = tuple(field.name for field in fields(CostColumns))


@dataclass(frozen=True)
class Table:
    """Trained networks: architectures, what was measured of them, and the choices they span.

    `metrics` has a row per architecture, by its spelling, our own counted costs among its
    columns. `codes` (architectures, parameters) are positions in `choices`, which hold every
    value that varies. The other fields are the same in all networks, `fixed`, or follow from a
    field before them: `follows` holds its name, and what each of its values stands for.
    """

    archs: tuple[ArchSpec, ...]
    metrics: pd.DataFrame
    choices: Mapping[str, tuple[Any, ...]]
    codes: Codes
    fixed: Mapping[str, Any]
    follows: Mapping[str, tuple[str, Mapping[Any, Any]]]

    def column(self, name: str) -> NDArray[np.float64]:
        """One metric of all networks; nan where a record lacks it.

        Raises:
            ConfigError: there is no such column.
        """
        if name not in self.metrics:
            known = list(self.metrics.columns)
            raise ConfigError(
                f"the table has no column {name!r}{did_you_mean(name, known)}; it has "
                f"{', '.join(known)}"
            )
        column: NDArray[np.float64] = self.metrics[name].to_numpy(dtype=float)
        return column

    def encode(self, archs: Sequence[ArchSpec]) -> Codes:
        """Codes of architectures that the choices span, (architectures, parameters)."""
        codes = np.zeros((len(archs), len(self.choices)))
        for column, (name, values) in enumerate(self.choices.items()):
            place = {value: number for number, value in enumerate(values)}
            stage, _, field = name.rpartition(".")
            if not stage:
                codes[:, column] = [place[getattr(arch, field)] for arch in archs]
                continue
            position = int(stage.removeprefix("stage")) - 1
            for row, arch in enumerate(archs):
                if position < len(arch.stages):
                    codes[row, column] = place[getattr(arch.stages[position], field)]
        return codes

    def decode(self, code: Code) -> ArchSpec:
        """The architecture behind any combination of the choices.

        Stages end before the first whose repeats are 0, so that a code that no row has may be
        another spelling of a network: `encode` gives the one that rows have.

        Raises:
            ArchError: no network combines these choices.
        """
        values = dict(self.fixed)
        for place, (name, choices) in zip(code, self.choices.items(), strict=True):
            values[name] = choices[int(place)]
        for name, (source, meaning) in self.follows.items():
            values[name] = meaning[values[source]]
        stages: list[StageSpec] = []
        while values.get(f"stage{len(stages) + 1}.repeats"):
            stage = f"stage{len(stages) + 1}"
            stages.append(StageSpec(**{name: values[f"{stage}.{name}"] for name in _STAGE}))
        return ArchSpec(stages=tuple(stages), **{name: values[name] for name in _WHOLE})


def read_table(path: str, adapter: str = "spelling", num_classes: int = 1000) -> Table:
    """The table of a benchmark file. Records of one architecture become one, their mean.

    Raises:
        ConfigError: the file or the adapter is missing. StudyError: the file cannot be read.
    """
    file = Path(path).expanduser()
    if not file.is_file():
        raise ConfigError(f"table.path={path} is not a file")
    archs: dict[str, ArchSpec] = {}
    rows: list[tuple[str, Mapping[str, float]]] = []
    try:
        for number, (given, metrics) in enumerate(_adapter(adapter)(file), 1):
            try:
                arch = parse_arch(given) if isinstance(given, str) else given
            except ArchError as error:
                raise StudyError(f"{file} record {number}: {error}") from None
            spelling = format_arch(arch)
            archs.setdefault(spelling, arch)
            rows.append((spelling, metrics))
    except (gzip.BadGzipFile, EOFError):
        raise StudyError(f"{file} is not a whole gzip file") from None
    except (OSError, LookupError, ValueError, TypeError) as error:
        reason = one_line(error)
        raise StudyError(f"{file} cannot be read as {adapter}: {reason}") from None
    if len(archs) < 2:
        raise StudyError(f"{file} holds {len(archs)} architectures; expected two or more")
    frame = pd.DataFrame([metrics for _, metrics in rows], index=[name for name, _ in rows])
    frame = frame.groupby(level=0, sort=False).mean()
    kept = tuple(archs[str(spelling)] for spelling in frame.index)
    costs = count_many(kept, num_classes)
    for name in COSTS:
        frame[name] = getattr(costs, name)
    return Table(kept, frame, *_choices(kept))


def _adapter(name: str) -> Callable[[Path], Rows]:
    if name in ADAPTERS:
        return ADAPTERS[name]
    path = Path(name).expanduser()
    if path.suffix != ".py" or not path.is_file():
        raise ConfigError(
            f"table.adapter={name} is unknown; expected {', '.join(ADAPTERS)}, or a Python file "
            f"that defines read(path){did_you_mean(name, ADAPTERS)}"
        )
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
        read: Callable[[Path], Rows] = module.read
    except Exception as error:  # whatever the user's own file does
        reason = one_line(error)
        raise ConfigError(f"table.adapter={name} cannot be used: {reason}") from None
    return read


_WHOLE: Final = tuple(field.name for field in fields(ArchSpec) if field.name != "stages")
_STAGE: Final = tuple(field.name for field in fields(StageSpec))


_Choices = tuple[
    dict[str, tuple[Any, ...]], Codes, dict[str, Any], dict[str, tuple[str, dict[Any, Any]]]
]


def _choices(archs: Sequence[ArchSpec]) -> _Choices:
    """What varies among architectures, each one's choice, and what `Table` says of the rest.

    A stage that a network lacks has repeats 0, and in its other fields the first choice, so that
    one network has one code.
    """
    columns = _columns(archs)
    choices: dict[str, tuple[Any, ...]] = {}
    fixed: dict[str, Any] = {}
    follows: dict[str, tuple[str, dict[Any, Any]]] = {}
    codes: list[NDArray[np.float64]] = []
    seen: dict[bytes, str] = {}
    # The block follows from the expansion in most spaces: named last, it is then left out.
    for name in sorted(columns, key=lambda name: name.endswith(".block")):
        values = _ordered(columns[name])
        place = {value: number for number, value in enumerate(values)}
        code = np.array([place[value] for value in columns[name]], dtype=float)
        source = seen.get(code.tobytes(), name.replace(".block", ".expand_ratio"))
        if len(values) < 2:
            fixed[name] = values[0]
        elif source != name and _follows(columns[source], columns[name]):
            follows[name] = source, dict(zip(columns[source], columns[name], strict=True))
        else:
            seen[code.tobytes()] = name
            choices[name] = tuple(values)
            codes.append(code)
    return choices, np.stack(codes, 1) if codes else np.zeros((len(archs), 0)), fixed, follows


def _columns(archs: Sequence[ArchSpec]) -> dict[str, list[Any]]:
    """Every field of the architectures, those of stages by their stage's number."""
    columns: dict[str, list[Any]] = {
        name: [getattr(arch, name) for arch in archs] for name in _WHOLE
    }
    for position in range(max(len(arch.stages) for arch in archs)):
        present = [position < len(arch.stages) for arch in archs]
        for name in _STAGE:
            values = [
                getattr(arch.stages[position], name) if here else None
                for arch, here in zip(archs, present, strict=True)
            ]
            known = _ordered(value for value, here in zip(values, present, strict=True) if here)
            absent = 0 if name == "repeats" else known[0]
            columns[f"stage{position + 1}.{name}"] = [
                value if here else absent for value, here in zip(values, present, strict=True)
            ]
    return columns


def _ordered(values: Any) -> list[Any]:
    """Distinct values, numbers by size, others by name; None (a default) first."""
    return sorted(
        set(values),
        key=lambda v: (v is not None, isinstance(v, str), v if isinstance(v, int | float) else 0,
                       str(v)),
    )  # fmt: skip


def _follows(source: Sequence[Any], column: Sequence[Any]) -> bool:
    """Whether `column` is a function of `source`."""
    meaning: dict[Any, Any] = {}
    pairs = zip(source, column, strict=True)
    return all(meaning.setdefault(value, one) == one for value, one in pairs)


class Pool:
    """Rows of a table as candidates: a search proposes only networks that were trained.

    `rows` are the table's feasible rows; `extra` names columns that are known before training,
    zero-cost scores for example, and may be read by a model.
    """

    def __init__(self, table: Table, rows: NDArray[np.intp], extra: Sequence[str] = ()) -> None:
        self.rows = rows
        self.codes = table.codes[rows]
        self.distributions: Mapping[str, BaseDistribution] = {
            name: CategoricalDistribution(values) for name, values in table.choices.items()
        }
        self._box = Box(self.distributions)
        costs = [np.log(np.maximum(table.column(name)[rows], 1.0)) for name in COSTS]
        known = [table.column(name)[rows] for name in extra]
        ranks = self._box.features(self.codes)
        self._features = np.concatenate([ranks, np.stack([*costs, *known], 1)], 1)
        # Positions of codes, by a random linear hash: two of them meet once in 2⁶⁴.
        width = self.codes.shape[1]
        generator = np.random.default_rng(0)
        self._multipliers = generator.integers(1, 2**63, width, dtype=np.uint64)
        keys = self._keys(self.codes)
        self._order = np.argsort(keys)
        self._sorted = keys[self._order]

    def __len__(self) -> int:
        return len(self.rows)

    def positions(self, codes: Codes) -> NDArray[np.intp]:
        """Where in the pool each code stands; -1 where it does not."""
        keys = self._keys(codes)
        at = np.minimum(np.searchsorted(self._sorted, keys), len(self._sorted) - 1)
        return np.where(self._sorted[at] == keys, self._order[at], -1)

    def nearest(self, code: Code, free: NDArray[np.bool_]) -> int:
        """The free candidate at the least distance in ranks; of equals the first."""
        ranks = self._box.features(np.concatenate([code[None], self.codes[free]]))
        distances = np.abs(ranks[1:] - ranks[0]).sum(1)
        return int(np.flatnonzero(free)[int(np.argmin(distances))])

    def encode(self, params: Mapping[str, Any]) -> Code | None:
        """The code of one combination; None where a value is none of the choices."""
        return self._box.encode(params)

    def decode(self, code: Code) -> dict[str, Any]:
        """The combination behind a code."""
        return self._box.decode(code)

    def sample(self, number: int, generator: np.random.Generator) -> Codes:
        """`number` of the pool without repetition, or all of it."""
        chosen = generator.permutation(len(self))[:number]
        return self.codes[chosen]

    def vary(self, parents: Codes, number: int, generator: np.random.Generator) -> Codes:
        """Those of `number` mutants that are in the pool."""
        mutants = mutate(
            parents[generator.integers(len(parents), size=number)], self._box.sizes, generator
        )
        return mutants[self.positions(mutants) >= 0]

    def features(self, codes: Codes) -> Features:
        """Ranks of the choices, logarithms of the counted costs, and the extra columns."""
        return self._features[self.positions(codes)]

    def _keys(self, codes: Codes) -> NDArray[np.uint64]:
        with np.errstate(over="ignore"):
            keys: NDArray[np.uint64] = (codes.astype(np.uint64) * self._multipliers).sum(
                1, dtype=np.uint64
            )
        return keys


def feasible_rows(
    table: Table, columns: Sequence[str], budget_metric: str, least: float, most: float
) -> NDArray[np.intp]:
    """Rows that have all `columns`, and whose `budget_metric` is within the budget.

    Raises:
        ConfigError: fewer than two do.
    """
    cost = table.column(budget_metric)
    usable = (cost >= least) & (cost <= most)
    for name in columns:
        usable &= np.isfinite(table.column(name))
    rows = np.flatnonzero(usable)
    if len(rows) < 2:
        raise ConfigError(
            f"budget {budget_metric} from {least:g} to {most:g} leaves {len(rows)} of the table's "
            f"{len(table.archs)} networks; theirs is {cost.min():g} to {cost.max():g}"
        )
    return rows
