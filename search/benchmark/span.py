"""What varies among architectures: the parameters that a table of them spans."""

from collections.abc import Sequence
from dataclasses import fields
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from blocks.arch import ArchSpec, StageSpec
from search.samplers.candidates import Codes

WHOLE: Final = tuple(field.name for field in fields(ArchSpec) if field.name != "stages")
STAGE: Final = tuple(field.name for field in fields(StageSpec))

_Span = tuple[
    dict[str, tuple[Any, ...]], Codes, dict[str, Any], dict[str, tuple[str, dict[Any, Any]]]
]


def span_of(archs: Sequence[ArchSpec]) -> _Span:
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
        name: [getattr(arch, name) for arch in archs] for name in WHOLE
    }
    for position in range(max(len(arch.stages) for arch in archs)):
        present = [position < len(arch.stages) for arch in archs]
        for name in STAGE:
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
