"""What is written of a family's promise: promise.csv and promise.png beside the trained members."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from blocks.arch import format_arch
from blocks.files import write_whole
from blocks.names import counted
from scaling.judging import Figure
from scaling.plot import plot_promise
from scaling.promise.rows import Promise, Row, read_promise
from search.record.folder import StudyFolder


@dataclass(frozen=True)
class Written:
    """What was found, and the table that was written of it, a picture beside it."""

    promise: Promise
    table: pd.DataFrame
    path: Path


def keep_promise(folder: StudyFolder) -> Written:
    """Compare a study's trained members, and write trained/promise.csv and promise.png.

    Raises:
        ScalingError, StudyError: as `read_promise`.
    """
    found = read_promise(folder.require())
    table = pd.DataFrame([_values(row) for row in found.rows])
    path = folder / "trained" / "promise.csv"
    write_whole(path, table.to_csv(index=False).encode())
    title = f"{found.study}: test {found.measure} of {counted(found.images, 'image')}"
    write_whole(path.with_suffix(".png"), plot_promise(table, title))
    return Written(found, table, path)


def _values(row: Row) -> dict[str, Any]:
    return {
        "name": row.name,
        "rival": row.is_rival,
        "macs": row.macs,
        "params": row.params,
        "latency_ms": round(row.latency_ms, 4),
        **_figure("reached", row.reached),
        "against": row.against,
        **_figure("gain", row.gain),
        **_figure("expected", row.expected),
        "extrapolated": row.extrapolated,
        "taken_in": row.taken_in,
        "verdict": row.verdict,
        "arch": format_arch(row.arch),
    }


def _figure(name: str, figure: Figure | None) -> dict[str, float | None]:
    ends = (None, None, None) if figure is None else (figure.value, figure.low, figure.high)
    keys = (name, f"{name}_low", f"{name}_high")
    return {
        key: None if end is None else round(end, 5) for key, end in zip(keys, ends, strict=True)
    }
