"""Benchmark files of others: one module each, and a line here.

An adapter is a function `read(path)` that yields (architecture or its spelling, metrics) of every
record. `table.adapter` takes a name of this dict, or the path of a Python file that defines such
a `read`; `search/adapters/accel_nasbench.py` is the example to copy.
"""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Final

from blocks.arch import ArchSpec
from search.benchmark.adapters import accel_nasbench, spelling

Rows = Iterable[tuple[ArchSpec | str, Mapping[str, float]]]

ADAPTERS: Final[dict[str, Callable[[Path], Rows]]] = {
    "spelling": spelling.read,
    "accel_nasbench": accel_nasbench.read,
}
