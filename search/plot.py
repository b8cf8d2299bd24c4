"""The plots of a study and of a benchmark."""

import io
from collections.abc import Mapping, Sequence

import matplotlib
import matplotlib.ticker

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from search.pareto import non_dominated
from search.record import TrialRecord

INK, FRONT, CLOUD, REFERENCE, CHOSEN = "#222222", "#c1440e", "#8fa6b8", "#2a6f4e", "#f0b429"


def plot_pareto(
    records: Sequence[TrialRecord],
    budget_macs: int | None,
    reference: TrialRecord | None,
    reference_name: str,
    chosen: TrialRecord | None,
    title: str,
) -> bytes:
    """PNG: validation accuracy against macs, the front, the budget, the reference."""
    macs = np.array([record.cost.macs for record in records], dtype=float)
    accuracy = np.array([100 * record.metrics["val_accuracy"] for record in records])
    figure, axes = plt.subplots(figsize=(8, 5), dpi=150, layout="constrained")
    axes.scatter(macs, accuracy, s=26, color=CLOUD, label=f"{len(records)} trained candidates")
    if len(records):
        front = non_dominated(accuracy, macs)
        order = np.flatnonzero(front)[np.argsort(macs[front])]
        axes.step(macs[order], accuracy[order], where="post", color=FRONT, linewidth=1.2, zorder=2)
        axes.scatter(
            macs[order], accuracy[order], s=34, color=FRONT, zorder=3,
            label=f"Pareto front ({len(order)})",
        )  # fmt: skip
    if chosen is not None:
        point = chosen.cost.macs, 100 * chosen.metrics["val_accuracy"]
        axes.scatter(
            *point, s=170, marker="*", color=CHOSEN, edgecolor=INK, linewidth=0.8, zorder=4,
            label=f"chosen B0 (trial {chosen.number})",
        )  # fmt: skip
    if len(records):
        # The candidates fill the frame; a reference far off is drawn at its edge, with its value.
        low, high = float(accuracy.min()), float(accuracy.max())
        margin = 0.15 * max(high - low, 1.0)
        axes.set_ylim(low - 2 * margin, high + margin)
    if reference is not None:
        value = 100 * reference.metrics["val_accuracy"]
        bottom, top = axes.get_ylim()
        inside = bottom < value < top
        edge = bottom + 0.03 * (top - bottom) if value <= bottom else top - 0.03 * (top - bottom)
        axes.scatter(
            reference.cost.macs, value if inside else edge, s=60, marker="D", color=REFERENCE,
            zorder=4, label=f"{reference_name}, same proxy"
            + ("" if inside else f" ({value:.1f}%, outside)"),
        )  # fmt: skip
    if budget_macs is not None:
        axes.axvline(budget_macs, color=INK, linestyle="--", linewidth=1, label="budget")
    _macs_axis(axes)
    axes.set_ylabel("validation accuracy (%)")
    axes.set_title(title)
    axes.grid(alpha=0.25)
    figure.legend(loc="outside lower center", ncols=3, fontsize=8, frameon=False)
    return _png(figure)


def plot_benchmark(
    curves: Mapping[str, NDArray[np.float64]],
    bands: Mapping[str, tuple[NDArray[np.float64], NDArray[np.float64]]],
    axis: str,
    title: str,
) -> bytes:
    """PNG: mean regret of (seeds, evaluations) curves with their bands, by sampler."""
    figure, axes = plt.subplots(figsize=(8, 5), dpi=150, layout="constrained")
    for number, (name, curve) in enumerate(curves.items()):
        steps = np.arange(1, curve.shape[1] + 1)
        color = f"C{number}"
        axes.plot(steps, curve.mean(0), color=color, linewidth=1.6, label=name)
        axes.fill_between(steps, *bands[name], color=color, alpha=0.18, linewidth=0)
    # Regret reaches 0 on a table, which a logarithm cannot show: linear near it.
    smallest = min(float(curve.mean(0)[curve.mean(0) > 0].min(initial=1.0))
                   for curve in curves.values())  # fmt: skip
    axes.set_yscale("symlog", linthresh=max(smallest, 1e-4), linscale=0.3)
    axes.set_ylim(bottom=0)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(matplotlib.ticker.FuncFormatter(lambda x, _: f"{x:g}"))
    axes.set_xlabel("evaluations")
    axes.set_ylabel(axis)
    axes.set_title(title)
    axes.grid(alpha=0.25)
    axes.legend(fontsize=9, frameon=False)
    return _png(figure)


def plot_fidelity(table: pd.DataFrame, title: str) -> bytes:
    """PNG: accuracy after the long schedule against the proxy's, one deviation of seeds as bars.

    `table` has the columns proxy, long, proxy_std, long_std (fractions; nan: not repeated).
    """
    figure, axes = plt.subplots(figsize=(6, 6), dpi=150, layout="constrained")
    values = {name: 100 * table[name].to_numpy(dtype=float) for name in table if name != "arch"}
    axes.errorbar(
        values["proxy"], values["long"],
        xerr=np.nan_to_num(values["proxy_std"]), yerr=np.nan_to_num(values["long_std"]),
        fmt="o", color=FRONT, ecolor=CLOUD, markersize=5, elinewidth=1.2,
    )  # fmt: skip
    axes.set_xlabel("validation accuracy by the proxy (%)")
    axes.set_ylabel("validation accuracy by the long schedule (%)")
    axes.set_title(title)
    axes.grid(alpha=0.25)
    return _png(figure)


def plot_surface(
    triples: NDArray[np.float64],
    accuracy: NDArray[np.float64],
    region: NDArray[np.bool_],
    best: NDArray[np.float64],
    others: Mapping[str, NDArray[np.float64]],
    title: str,
) -> bytes:
    """PNG: predicted accuracy of multipliers (points, 3) of equal cost, over depth and resolution.

    The width is what the cost leaves. `region` marks those that are not told from the best (3,);
    `others` are named triples.
    """
    figure, axes = plt.subplots(figsize=(7.5, 5.5), dpi=150, layout="constrained")
    shown = axes.scatter(
        triples[:, 0], triples[:, 2], c=100 * accuracy, s=14, cmap="cividis", linewidth=0
    )
    figure.colorbar(shown, label="predicted validation accuracy (%)")
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
    return _png(figure)


def plot_compare(table: pd.DataFrame, split: str, title: str) -> bytes:
    """PNG: accuracy against macs of every rule, from B0 upward; EfficientNet's Figure 8.

    `table` has a row per rule and cost ratio (columns rule, macs, accuracy_mean, accuracy_std, as
    fractions; nan: not trained), B0's as rule b0. Bars are one standard deviation of seeds.
    """
    figure, axes = plt.subplots(figsize=(8, 5.5), dpi=150, layout="constrained")
    trained = table[table["accuracy_mean"].notna()]
    start = trained[trained["rule"] == "b0"]
    for number, (rule, rows) in enumerate(
        trained[trained["rule"] != "b0"].groupby("rule", sort=False)
    ):
        line = pd.concat([start, rows]).sort_values("macs")
        fitted = rule == "fitted"
        axes.errorbar(
            line["macs"], 100 * line["accuracy_mean"], yerr=100 * line["accuracy_std"],
            label=str(rule), color=FRONT if fitted else f"C{number % 10}", capsize=2,
            linewidth=2.4 if fitted else 1.1, zorder=3 if fitted else 2,
            marker="osD^v<>PX*"[number % 10], markersize=6 if fitted else 4,
            linestyle=":" if str(rule).startswith("random") else "-",
        )  # fmt: skip
    if len(start):
        axes.scatter(
            start["macs"], 100 * start["accuracy_mean"], s=150, marker="*", color=CHOSEN,
            edgecolor=INK, linewidth=0.8, zorder=4, label="B0",
        )  # fmt: skip
    _macs_axis(axes)
    axes.set_ylabel(f"{split} accuracy (%)")
    axes.set_title(title)
    axes.grid(alpha=0.25)
    figure.legend(loc="outside lower center", ncols=5, fontsize=8, frameon=False)
    return _png(figure)


def plot_resolution(
    table: pd.DataFrame, resolution: int, max_macs: int | None, title: str
) -> bytes:
    """PNG: accuracy against input pixels, and the macs that they cost.

    `table` has the columns pixels, macs, test_accuracy, low, high (95%), val_accuracy, and, where
    the network was trained at each, trained_test_accuracy (fractions).
    """
    figure, (axes, below) = plt.subplots(
        2, 1, figsize=(8, 6.5), dpi=150, layout="constrained", sharex=True, height_ratios=[2, 1]
    )
    values = {name: table[name].to_numpy(dtype=float) for name in ("pixels", "macs")}
    pixels = values["pixels"]
    if "test_accuracy" in table:
        accuracy = 100 * table["test_accuracy"].to_numpy(dtype=float)
        bars = [accuracy - 100 * table["low"], 100 * table["high"] - accuracy]
        axes.errorbar(pixels, accuracy, yerr=bars, color=FRONT, marker="o", markersize=5,
                      capsize=2, label="test, 95%")  # fmt: skip
        axes.plot(pixels, 100 * table["val_accuracy"], color=CLOUD, marker="s", markersize=4,
                  label="validation")  # fmt: skip
    if "trained_test_accuracy" in table:
        axes.plot(pixels, 100 * table["trained_test_accuracy"], color=REFERENCE, marker="D",
                  markersize=4, label="test, trained at that resolution")  # fmt: skip
    for each in (axes, below):
        each.axvline(resolution, color=INK, linestyle="--", linewidth=1, label="trained at")
        each.grid(alpha=0.25)
    axes.set_ylabel("accuracy (%)")
    axes.set_title(title)
    below.plot(pixels, values["macs"], color=INK, marker="o", markersize=4)
    if max_macs is not None:
        below.axhline(max_macs, color=FRONT, linestyle="--", linewidth=1, label="budget")
    below.set_yscale("log")
    below.yaxis.set_major_locator(matplotlib.ticker.LogLocator(subs=(1.0, 2.0, 5.0)))
    below.yaxis.set_major_formatter(matplotlib.ticker.FuncFormatter(lambda y, _: _si(y)))
    below.yaxis.set_minor_formatter(matplotlib.ticker.NullFormatter())
    below.set_ylabel("macs per image")
    below.set_xlabel("input resolution (pixels)")
    axes.legend(fontsize=8, frameon=False)
    return _png(figure)


def _macs_axis(axes: Axes) -> None:
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(matplotlib.ticker.LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter(matplotlib.ticker.FuncFormatter(lambda x, _: _si(x)))
    axes.xaxis.set_minor_formatter(matplotlib.ticker.NullFormatter())
    axes.set_xlabel("macs per image (convolution and linear multiply-adds)")


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    plt.close(figure)
    return buffer.getvalue()


def _si(value: float) -> str:
    for factor, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= factor:
            return f"{value / factor:g}{unit}"
    return f"{value:g}"
