"""The plots of a fit, of a comparison and of resolutions."""

from collections.abc import Mapping, Sequence
from typing import Final

import matplotlib.ticker
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from blocks.figure import (
    CHOSEN,
    CLOUD,
    FRONT,
    INK,
    REFERENCE,
    macs_axis,
    new_figure,
    one_axes,
    png,
    si,
)
from search.config.quality import ACCURACY, Quality


def plot_surface(
    triples: NDArray[np.float64],
    accuracy: NDArray[np.float64],
    region: NDArray[np.bool_],
    best: NDArray[np.float64],
    others: Mapping[str, NDArray[np.float64]],
    title: str,
    quality: Quality = ACCURACY,
) -> bytes:
    """PNG: predicted accuracy of multipliers (points, 3) of equal cost, over depth and resolution.

    The width is what the cost leaves. `region` marks those that are not told from the best (3,);
    `others` are named triples.
    """
    figure, axes = one_axes((7.5, 5.5))
    shown = axes.scatter(
        triples[:, 0], triples[:, 2], c=100 * accuracy, s=14, cmap="cividis", linewidth=0
    )
    figure.colorbar(shown, label=f"predicted validation {quality.words} (%)")
    inside = triples[region]
    axes.scatter(
        inside[:, 0], inside[:, 2], s=2, color=FRONT, linewidth=0,
        label="not told from the best (95%)",
    )  # fmt: skip
    for number, (name, triple) in enumerate(others.items()):
        axes.scatter(
            triple[0], triple[2], s=60, marker="oDs^>P"[number % 6], color=CLOUD, edgecolor=INK,
            linewidth=0.8, zorder=3, label=name,
        )  # fmt: skip
    axes.scatter(
        best[0], best[2], s=190, marker="*", color=CHOSEN, edgecolor=INK, linewidth=0.8, zorder=4,
        label=f"fitted {best[0]:.2f}, {best[1]:.2f}, {best[2]:.2f}",
    )  # fmt: skip
    axes.set_xlabel("α: depth")
    axes.set_ylabel("γ: resolution (width takes what is left)")
    axes.set_title(title)
    axes.grid(alpha=0.25)
    figure.legend(loc="outside lower center", ncols=3, fontsize=8, frameon=False)
    return png(figure)


def plot_compare(table: pd.DataFrame, split: str, title: str, quality: Quality = ACCURACY) -> bytes:
    """PNG: accuracy against macs of every rule, from B0 upward; EfficientNet's Figure 8.

    `table` has a row per rule and cost ratio (columns rule, macs, accuracy_mean, accuracy_std, as
    fractions, or by the name of another `quality`; nan: not trained), B0's as rule b0. Bars are one
    standard deviation of seeds.
    """
    figure, axes = one_axes((8, 5.5))
    mean, deviation = f"{quality.name}_mean", f"{quality.name}_std"
    trained = table[table[mean].notna()]
    start = trained[trained["rule"] == "b0"]
    for number, (rule, rows) in enumerate(
        trained[trained["rule"] != "b0"].groupby("rule", sort=False)
    ):
        line = pd.concat([start, rows]).sort_values("macs")
        fitted = rule == "fitted"
        axes.errorbar(
            line["macs"], 100 * line[mean], yerr=100 * line[deviation],
            label=str(rule), color=FRONT if fitted else f"C{number % 10}", capsize=2,
            linewidth=2.4 if fitted else 1.1, zorder=3 if fitted else 2,
            marker="osD^v<>PX*"[number % 10], markersize=6 if fitted else 4,
            linestyle=":" if str(rule).startswith("random") else "-",
        )  # fmt: skip
    if len(start):
        axes.scatter(
            start["macs"], 100 * start[mean], s=150, marker="*", color=CHOSEN,
            edgecolor=INK, linewidth=0.8, zorder=4, label="B0",
        )  # fmt: skip
    macs_axis(axes)
    axes.set_ylabel(f"{split} {quality.words} (%)")
    axes.set_title(title)
    axes.grid(alpha=0.25)
    figure.legend(loc="outside lower center", ncols=5, fontsize=8, frameon=False)
    return png(figure)


def plot_resolution(
    table: pd.DataFrame,
    resolution: int,
    max_macs: int | None,
    title: str,
    quality: Quality = ACCURACY,
) -> bytes:
    """PNG: accuracy against input pixels, and the macs that they cost.

    `table` has the columns pixels, macs, test_accuracy, low, high (95%), val_accuracy, and, where
    the network was trained at each, trained_test_accuracy (fractions); or those of another
    `quality`.
    """
    figure = new_figure(8, 6.5)
    axes, below = figure.subplots(2, 1, sharex=True, height_ratios=[2, 1])
    values = {name: table[name].to_numpy(dtype=float) for name in ("pixels", "macs")}
    pixels = values["pixels"]
    if quality.test in table:
        accuracy = 100 * table[quality.test].to_numpy(dtype=float)
        bars = [accuracy - 100 * table["low"], 100 * table["high"] - accuracy]
        axes.errorbar(pixels, accuracy, yerr=bars, color=FRONT, marker="o", markersize=5,
                      capsize=2, label="test, 95%")  # fmt: skip
        axes.plot(pixels, 100 * table[quality.val], color=CLOUD, marker="s", markersize=4,
                  label="validation")  # fmt: skip
    trained = f"trained_{quality.test}"
    if trained in table:
        axes.plot(pixels, 100 * table[trained], color=REFERENCE, marker="D",
                  markersize=4, label="test, trained at that resolution")  # fmt: skip
    for each in (axes, below):
        each.axvline(resolution, color=INK, linestyle="--", linewidth=1, label="trained at")
        each.grid(alpha=0.25)
    axes.set_ylabel(f"{quality.words} (%)")
    axes.set_title(title)
    below.plot(pixels, values["macs"], color=INK, marker="o", markersize=4)
    if max_macs is not None:
        below.axhline(max_macs, color=FRONT, linestyle="--", linewidth=1, label="budget")
    below.set_yscale("log")
    below.yaxis.set_major_locator(matplotlib.ticker.LogLocator(subs=(1.0, 2.0, 5.0)))
    below.yaxis.set_major_formatter(matplotlib.ticker.FuncFormatter(lambda y, _: si(y)))
    below.yaxis.set_minor_formatter(matplotlib.ticker.NullFormatter())
    below.set_ylabel("macs per image")
    below.set_xlabel("input resolution (pixels)")
    axes.legend(fontsize=8, frameon=False)
    return png(figure)


_NUMBERED: Final = 25
"""Classes that still have names and numbers in a confusion matrix."""


def plot_confusion(confusion: NDArray[np.int64], classes: Sequence[str], title: str) -> bytes:
    """PNG: of the images of each class (a row) the share that is given each name (a column)."""
    count = len(classes)
    shares = confusion / np.maximum(confusion.sum(1, keepdims=True), 1)
    side = min(12.0, 3.5 + 0.42 * min(count, _NUMBERED))
    figure, axes = one_axes((side + 1, side))
    shown = axes.imshow(shares, vmin=0, vmax=1, cmap="Blues", interpolation="nearest")
    figure.colorbar(shown, label="share of the class's images", shrink=0.8)
    if count <= _NUMBERED:
        axes.set_xticks(range(count), classes, rotation=60, ha="right", fontsize=8)
        axes.set_yticks(range(count), classes, fontsize=8)
        for true in range(count):
            for given in range(count):
                if confusion[true, given]:
                    axes.text(
                        given, true, f"{confusion[true, given]}", ha="center", va="center",
                        fontsize=7, color="white" if shares[true, given] > 0.5 else INK,
                    )  # fmt: skip
    axes.set_xlabel("given")
    axes.set_ylabel("true")
    axes.set_title(title, fontsize=10)
    return png(figure)


def plot_promise(table: pd.DataFrame, title: str) -> bytes:
    """PNG: what members and rivals reach, against macs, parameters and latency.

    `table` has the columns name, rival, macs, params, latency_ms, reached, reached_low,
    reached_high, and expected, expected_low, expected_high: the gain over the first row.
    """
    figure = new_figure(11, 4.2)
    columns = {"macs": "macs", "params": "parameters", "latency_ms": "ms an image, one thread"}
    panels = figure.subplots(1, len(columns), sharey=True)
    base = 100 * float(table["reached"].iloc[0])
    for axes, (column, label) in zip(panels, columns.items(), strict=True):
        for rival, colour, marker, name in (
            (False, FRONT, "o", "members"), (True, REFERENCE, "s", "rivals at their macs"),
        ):  # fmt: skip
            rows = table[table["rival"] == rival]
            if not len(rows):
                continue
            middle = 100 * rows["reached"].to_numpy(dtype=float)
            ends = 100 * rows[["reached_low", "reached_high"]].to_numpy(dtype=float)
            axes.errorbar(
                rows[column].to_numpy(dtype=float), middle,
                yerr=np.abs(ends.T - middle), color=colour, marker=marker, markersize=5,
                linewidth=1.2 if not rival else 0, elinewidth=1, capsize=3, label=name,
            )  # fmt: skip
            if not rival and column == "macs":
                for x, y, text in zip(rows[column], middle, rows["name"], strict=True):
                    axes.annotate(str(text), (x, y), xytext=(4, 6), textcoords="offset points",
                                  fontsize=8)  # fmt: skip
        known = table.dropna(subset=["expected"])
        if len(known) and column == "macs":
            x = [float(table[column].iloc[0]), *known[column].astype(float)]
            low, high = (
                [base, *(base + 100 * known[f"expected_{end}"].astype(float))]
                for end in ("low", "high")
            )
            axes.fill_between(x, low, high, color=CLOUD, alpha=0.35, linewidth=0,
                              label="expected by the fit (95%)")  # fmt: skip
        axes.set_xscale("log")
        axes.set_xlabel(label)
        axes.grid(alpha=0.25)
    panels[0].set_ylabel("on test images (%)")
    panels[0].legend(fontsize=8, frameon=False)
    figure.suptitle(title, fontsize=10)
    return png(figure)
