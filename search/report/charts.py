"""Figures as plotly reads them: data and layout, as plain values.

Colours are Okabe and Ito's. What is grey or transparent here suits a light and a dark page; the
page's style colours the text.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

GREY, ORANGE, SKY, GREEN = "#8c8c8c", "#e69f00", "#56b4e9", "#009e73"
BLUE, VERMILION, PURPLE = "#0072b2", "#d55e00", "#cc79a7"
COLOURS: Final = (BLUE, VERMILION, GREEN, ORANGE, PURPLE, SKY, GREY)
SYMBOLS: Final = ("circle", "diamond", "square", "triangle-up", "cross", "x", "triangle-down")
DIVERGING: Final = [[0.0, "#5aa7d6"], [0.5, "#f5f5f5"], [1.0, "#ef9a5c"]]
"""Less, as much, more; light enough for dark numbers upon it."""
_GRID: Final = "rgba(128,128,128,0.3)"

Trace = dict[str, Any]
Values = Sequence[float] | Sequence[int]


def figure(traces: Sequence[Trace], x: str, y: str, **layout: Any) -> dict[str, Any]:
    """A figure with these axes' titles; `layout` adds to the house's, axes by `xaxis`, `yaxis`."""
    base: dict[str, Any] = {
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"family": "system-ui, sans-serif", "size": 13},
        "margin": {"l": 64, "r": 16, "t": 16, "b": 56},
        "hovermode": "closest",
        "hoverlabel": {"bgcolor": "#ffffff", "bordercolor": GREY, "font": {"color": "#1a1a1a"}},
        "legend": {"orientation": "h", "y": -0.22, "x": 0, "yanchor": "top"},
        "modebar": {"bgcolor": "rgba(0,0,0,0)", "color": GREY, "activecolor": BLUE},
        "showlegend": len(traces) > 1,
    }
    axes = {"xaxis": _axis(x, layout.pop("xaxis", {})), "yaxis": _axis(y, layout.pop("yaxis", {}))}
    return {"data": list(traces), "layout": {**base, **axes, **layout}}


def _axis(title: str, more: Mapping[str, Any]) -> dict[str, Any]:
    colours = dict.fromkeys(("gridcolor", "zerolinecolor", "linecolor"), _GRID)
    return {"title": {"text": title}, "automargin": True, "zeroline": False, **colours, **more}


def log_axis() -> dict[str, Any]:
    """Costs: decades, with marks such as 2M between them."""
    return {"type": "log", "tickformat": "~s", "dtick": "D2"}


def points(
    name: str, x: Values, y: Values, texts: Sequence[str], colour: str, symbol: str = "circle",
    size: int = 8, networks: Sequence[Sequence[str]] | None = None, **more: Any,
) -> Trace:  # fmt: skip
    """Marks; `networks`: of each its spelling, and the name of its drawing or nothing."""
    marker = {"color": colour, "symbol": symbol, "size": size, "line": {"width": 0}}
    trace: Trace = {
        "type": "scatter", "mode": "markers", "name": name, "x": list(x), "y": list(y),
        "text": list(texts), "hovertemplate": "%{text}<extra></extra>", "marker": marker,
    }  # fmt: skip
    if networks is not None:
        trace["customdata"] = [list(each) for each in networks]
    return {**trace, **more}


def line(
    name: str, x: Values, y: Values, colour: str, shape: str = "linear", dash: str = "solid",
    **more: Any,
) -> Trace:  # fmt: skip
    """A line, of steps with `shape="hv"`."""
    return {
        "type": "scatter", "mode": "lines", "name": name, "x": list(x), "y": list(y),
        "line": {"color": colour, "width": 2, "shape": shape, "dash": dash}, **more,
    }  # fmt: skip


def bars(labels: Sequence[str], values: Values, texts: Sequence[str]) -> Trace:
    """Bars to the right, the first at the top."""
    return {
        "type": "bar", "orientation": "h", "x": list(values), "y": list(labels),
        "text": list(texts), "textposition": "outside", "cliponaxis": False,
        "marker": {"color": SKY},
        "hovertemplate": "%{y}: %{text}<extra></extra>",
    }  # fmt: skip


def upright(value: float) -> dict[str, Any]:
    """A dashed line across the figure at `value` of the x axis."""
    return {
        "type": "line", "xref": "x", "yref": "paper", "x0": value, "x1": value, "y0": 0, "y1": 1,
        "line": {"color": GREY, "width": 1.5, "dash": "dash"},
    }  # fmt: skip
