"""Our own tables: JSON lines or CSV with a column `arch`, and numbers in the others.

A study's `trials.jsonl` is such a table. Files may be gzipped.
"""

import gzip
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import pandas as pd

from search.errors import StudyError


def read(path: Path) -> Iterator[tuple[str, dict[str, float]]]:
    """(spelling, metrics) of every record; what is no number is not a metric.

    Raises:
        StudyError: a line is no record, or there is no column `arch`.
    """
    name = path.name.removesuffix(".gz")
    rows: Iterable[dict[str, Any]]
    if name.endswith((".jsonl", ".json")):
        rows = _json_lines(path)
    elif name.endswith(".csv"):
        frame = pd.read_csv(path)
        rows = (dict(zip(map(str, frame.columns), row, strict=True)) for row in frame.values)
    else:
        raise StudyError(f"{path} is no .jsonl or .csv (or one of them .gz)")
    for number, row in enumerate(rows, 1):
        if not isinstance(row.get("arch"), str):
            raise StudyError(f"{path} record {number} has no arch")
        if "kind" in row and "error" in row:
            continue  # a failed training
        yield row["arch"], _numbers(row)


def _json_lines(path: Path) -> Iterator[dict[str, Any]]:
    with _open(path) as lines:
        for number, line in enumerate(lines, 1):
            try:
                row = json.loads(line)
            except ValueError as error:
                raise StudyError(f"{path} line {number} is not JSON: {error}") from None
            if not isinstance(row, dict):
                raise StudyError(f"{path} line {number} is not an object")
            yield row


def _numbers(row: Mapping[str, Any]) -> dict[str, float]:
    metrics = row.get("metrics")
    whole = {**row, **metrics} if isinstance(metrics, dict) else row
    return {
        str(name): float(value)
        for name, value in whole.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }


def _open(path: Path) -> IO[str]:
    if path.name.endswith(".gz"):
        return gzip.open(path, "rt", encoding="utf-8")
    return open(path, encoding="utf-8")
