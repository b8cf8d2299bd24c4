"""What all plots share: colours, figures without a screen, an axis of multiply-adds, PNG bytes.

Figures are made without pyplot, so that a notebook keeps its own backend.
"""

import io
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
import matplotlib.ticker
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

INK, FRONT, CLOUD, REFERENCE, CHOSEN = "#222222", "#c1440e", "#8fa6b8", "#2a6f4e", "#f0b429"


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of this size in inches."""
    return Figure(figsize=(width, height), dpi=150, layout="constrained")


def one_axes(size: tuple[float, float]) -> tuple[Figure, Axes]:
    """A figure of this size in inches, with one pair of axes."""
    figure = new_figure(*size)
    return figure, figure.subplots()


COST_LABELS: Final = {
    "macs": "macs per image (convolution and linear multiply-adds)",
    "params": "parameters",
}


def macs_axis(axes: Axes) -> None:
    cost_axis(axes, "macs")


def cost_axis(axes: Axes, metric: str) -> None:
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(matplotlib.ticker.LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter(matplotlib.ticker.FuncFormatter(lambda x, _: si(x)))
    axes.xaxis.set_minor_formatter(matplotlib.ticker.NullFormatter())
    axes.set_xlabel(COST_LABELS[metric])


def png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def si(value: float) -> str:
    for factor, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= factor:
            return f"{value / factor:g}{unit}"
    return f"{value:g}"


def font_file() -> str:
    """The font of matplotlib's own, DejaVu Sans, which is the same on every machine."""
    return str(Path(mpl.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf"))


def heat_colours(values: NDArray[Any]) -> NDArray[np.float64]:
    """Numbers in 0…1 (H, W) as colours (H, W, 3), dark to bright."""
    return np.asarray(mpl.colormaps["inferno"](values)[..., :3], dtype=np.float64)
