"""What `benchmark` shows."""

from functools import partial
from typing import Final

import numpy as np
from rich.table import Table

from blocks.console import console
from search.benchmark.compare import Benchmark

LABELS: Final = {"area": "mean regret (area)", "ask_ms": "overhead per evaluation, ms"}


def show_benchmark(found: Benchmark) -> None:
    """Print how the samplers compare."""
    console.print(_comparison(found))
    first, *others = found.files
    console.print(f"wrote {first}, {', '.join(path.name for path in others)}")


def _comparison(found: Benchmark) -> Table:
    config, summary = found.config, found.summary
    screen = Table(
        title=f"{config.axis} over {config.evaluations} evaluations, {config.seeds} seeds",
        title_justify="left",
    )
    # A column per sampler: there are more measures than samplers.
    screen.add_column("", overflow="fold")
    for name in summary["sampler"]:
        screen.add_column(name, justify="right", overflow="fold")
    cell = partial(_cell, single=len(config.objectives) == 1)
    rows = summary.to_dict("records")
    for name in summary.columns.drop(["sampler", "area_low", "area_high"]):
        cells = [cell(name, row[name]) for row in rows]
        screen.add_row(LABELS.get(name, name.replace("_", " ")), *cells)
        if name == "area":
            limits = [(cell(name, row["area_low"]), cell(name, row["area_high"])) for row in rows]
            screen.add_row("  95% interval", *(f"{low}–{high}" for low, high in limits))
    return screen


def _cell(name: str, value: float, single: bool) -> str:
    if np.isnan(value):
        return "–"
    if name.startswith("p_"):
        return f"{value:.2g}"
    if name.startswith("reaches"):
        return f"{value:.0f}"
    if name == "ask_ms":
        return f"{value:.0f}"
    if name.startswith("area_over"):
        return f"{value:.2f}"
    return f"{value:.5f}" if single else f"{value:.4f}"
