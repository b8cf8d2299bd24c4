"""Benchmark files: tables of trained networks."""

import gzip
import importlib.util
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from blocks.arch import ArchSpec, StageSpec, format_arch, parse_arch
from blocks.cost import CostColumns, count_many
from blocks.errors import DAMAGED, ArchError, one_line
from blocks.names import did_you_mean
from search.benchmark.adapters import ADAPTERS, Rows
from search.benchmark.span import STAGE, WHOLE, span_of
from search.errors import ConfigError, StudyError
from search.samplers.candidates import Code, Codes

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
            stages.append(StageSpec(**{name: values[f"{stage}.{name}"] for name in STAGE}))
        return ArchSpec(stages=tuple(stages), **{name: values[name] for name in WHOLE})


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
    except (OSError, zlib.error, *DAMAGED) as error:
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
    return Table(kept, frame, *span_of(kept))


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
