"""The figures of a report as files for a paper: PNG, SVG, PDF, drawn from the same numbers."""

import io
import math
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from html import unescape
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
import matplotlib.style
import matplotlib.ticker
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure as Drawn

from blocks.figure import si
from search.report.blocks import Figure

FORMATS: Final = ("png", "svg", "pdf")
STYLE: Final = Path(__file__).with_name("paper.mplstyle")
WIDTHS: Final = {1: 3.35, 2: 7.0}
"""Columns of a page of two → inches."""
_MARKERS: Final = {
    "circle": "o", "diamond": "D", "square": "s", "triangle-up": "^", "cross": "P", "x": "X",
    "triangle-down": "v", "star": "*",
}  # fmt: skip
_DASHES: Final = {"solid": "-", "dash": "--", "dot": ":"}
_NO_DATE: Final = {"png": {}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}


@dataclass(frozen=True)
class Paper:
    """What figures are printed on: how many columns of a page of two they span, and whether it is
    dark."""

    columns: int = 1
    dark: bool = False

    @property
    def ink(self) -> str:
        return "#f0f0f0" if self.dark else "#1a1a1a"

    @property
    def ground(self) -> str:
        return "#1b1b1f" if self.dark else "#ffffff"

    @property
    def suffix(self) -> str:
        """What tells the files apart."""
        return ("-wide" if self.columns == 2 else "") + ("-dark" if self.dark else "")


def print_figure(block: Figure, paper: Paper, formats: Sequence[str]) -> dict[str, bytes]:
    """A figure's files by format; the same bytes for the same numbers."""
    with _style(paper):
        # Anew for each: where things lie depends a little on what was drawn before.
        return {each: _saved(_draw(block, paper), each) for each in formats}


@contextmanager
def _style(paper: Paper) -> Iterator[None]:
    inks = ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color")
    grounds = ("figure.facecolor", "axes.facecolor", "savefig.facecolor")
    colours = {**dict.fromkeys(inks, paper.ink), **dict.fromkeys(grounds, paper.ground)}
    with mpl.rc_context():
        mpl.style.use([STYLE, colours])
        yield


def _saved(drawn: Drawn, form: str) -> bytes:
    content = io.BytesIO()
    drawn.savefig(content, format=form, metadata=_NO_DATE[form])
    return content.getvalue()


def _draw(block: Figure, paper: Paper) -> Drawn:
    width = WIDTHS[paper.columns]
    traces, layout = block.figure["data"], block.figure["layout"]
    rows = max((len(trace["y"]) for trace in traces if trace["type"] != "scatter"), default=0)
    height = 0.7 + 0.17 * rows if rows else width * (0.78 if paper.columns == 1 else 0.5)
    drawn = Drawn(figsize=(width, height))
    axes = drawn.subplots()
    shown = [(trace, _KINDS[trace["type"]](axes, trace, paper)) for trace in traces]
    for shape in layout.get("shapes", ()):
        axes.axvline(shape["x0"], color=paper.ink, linestyle="--", linewidth=0.8)
    _axis(axes, "x", layout["xaxis"])
    _axis(axes, "y", layout["yaxis"])
    if layout.get("showlegend"):
        known = [(trace, mark) for trace, mark in shown if trace.get("showlegend", True)]
        _legend(drawn, {unescape(trace["name"]): mark for trace, mark in known}, paper)
    return drawn


def _legend(drawn: Drawn, marks: Mapping[str, Artist | None], paper: Paper) -> None:
    found = {name: mark for name, mark in marks.items() if mark is not None}
    longest = max((len(name) for name in found), default=1)
    room = 62 if paper.columns == 1 else 130  # letters of the legend's size
    columns = max(1, min(4, room // (longest + 7)))
    drawn.legend(list(found.values()), list(found), loc="outside lower center", ncols=columns)


def _axis(axes: Axes, which: str, wanted: Mapping[str, Any]) -> None:
    axis = axes.xaxis if which == "x" else axes.yaxis
    if label := wanted["title"]["text"]:
        axis.set_label_text("\n".join(textwrap.wrap(label, 44 if which == "x" else 30)))
    if wanted.get("type") == "log":
        (axes.set_xscale if which == "x" else axes.set_yscale)("log")
        low, high = axis.get_view_interval()
        marks = (1.0,) if high / low > 60 else (1.0, 2.0, 5.0) if high / low > 4 else range(1, 10)
        axis.set_major_locator(matplotlib.ticker.LogLocator(subs=tuple(map(float, marks))))
        axis.set_major_formatter(matplotlib.ticker.FuncFormatter(lambda x, _: si(x)))
        axis.set_minor_formatter(matplotlib.ticker.NullFormatter())
    elif wanted.get("tickformat", "").endswith("%"):
        axis.set_major_formatter(matplotlib.ticker.PercentFormatter(1, decimals=0))
    elif label in ("trial", "epoch", "candidates"):
        axis.set_major_locator(matplotlib.ticker.MaxNLocator(6, integer=True))
    if wanted.get("autorange") == "reversed" and not axis.get_inverted():
        axis.set_inverted(True)


def _scatter(axes: Axes, trace: Mapping[str, Any], paper: Paper) -> Artist:
    line, marker = trace.get("line", {}), trace.get("marker", {})
    lines, marks = ("lines" in trace["mode"], "markers" in trace["mode"])
    colour = line.get("color") or marker.get("color")
    symbol = marker.get("symbol", "circle")
    # One of the page's pixels is about a third of a point at the width of a column.
    size = math.sqrt(marker.get("size", 6)) * (2.2 if symbol == "star" else 1.35)
    style: dict[str, Any] = {
        "color": colour,
        "linestyle": _DASHES[line.get("dash", "solid")] if lines else "none",
        "marker": _MARKERS[symbol] if marks else "",
        "markersize": size,
        "markeredgecolor": paper.ink if symbol == "star" else paper.ground,
        "markeredgewidth": 0.5 if symbol == "star" else 0.3,
        "drawstyle": "steps-post" if line.get("shape") == "hv" else "default",
        "zorder": 2 + (symbol != "circle") + (symbol == "star"),
    }
    if "fill" in trace:  # a band, whose other edge is the trace before it
        return _band(axes, trace)
    if "error_y" in trace:
        errors = trace["error_y"]
        spread = np.abs([errors["arrayminus"], errors["array"]])
        style["elinewidth"] = 0.8
        return axes.errorbar(trace["x"], trace["y"], yerr=spread, **style).lines[0]
    return axes.plot(trace["x"], trace["y"], **style)[0]


def _band(axes: Axes, trace: Mapping[str, Any]) -> Artist:
    half = len(trace["x"]) // 2
    x, low = trace["x"][:half], trace["y"][:half]
    high = trace["y"][half:][::-1]
    return axes.fill_between(
        x, low, high, color=trace["fillcolor"][:7], alpha=0.22, linewidth=0
    )  # fmt: skip


def _bar(axes: Axes, trace: Mapping[str, Any], paper: Paper) -> None:
    drawn = axes.barh(
        [unescape(each) for each in trace["y"]], trace["x"], color=trace["marker"]["color"],
        edgecolor=paper.ink, linewidth=0.4,
    )  # fmt: skip
    axes.bar_label(drawn, trace["text"], padding=2, fontsize=6)
    axes.margins(x=0.25)
    axes.grid(visible=False, axis="y")


def _heatmap(axes: Axes, trace: Mapping[str, Any], paper: Paper) -> None:
    values = np.array([[np.nan if v is None else v for v in row] for row in trace["z"]])
    colours = LinearSegmentedColormap.from_list("page", [tuple(e) for e in trace["colorscale"]])
    axes.imshow(
        values, cmap=colours, vmin=trace["zmin"], vmax=trace["zmax"], aspect="auto",
        interpolation="nearest",
    )  # fmt: skip
    axes.set_xticks(range(len(trace["x"])), trace["x"])
    axes.set_yticks(range(len(trace["y"])), [unescape(each) for each in trace["y"]])
    axes.grid(visible=False)
    for (row, column), value in np.ndenumerate(values):
        if not np.isnan(value):
            points = f"{value:+.0f}".replace("-", "−")
            axes.text(column, row, "0" if points in ("+0", "−0") else points, ha="center",
                      va="center", fontsize=5.5, color="#1a1a1a")  # fmt: skip


_KINDS: Final = {"scatter": _scatter, "bar": _bar, "heatmap": _heatmap}
