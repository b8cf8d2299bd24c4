"""The plots of a study and of a benchmark."""

from collections.abc import Mapping, Sequence
from itertools import cycle

import matplotlib.ticker
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from blocks.figure import CHOSEN, CLOUD, FRONT, INK, REFERENCE, cost_axis, one_axes, png
from search.config.quality import ACCURACY, Quality
from search.pareto import non_dominated
from search.record.trials import TrialRecord


def plot_pareto(
    records: Sequence[TrialRecord],
    budget_macs: int | None,
    references: Mapping[str, TrialRecord],
    chosen: TrialRecord | None,
    title: str,
    metric: str = "macs",
    quality: Quality = ACCURACY,
) -> bytes:
    """PNG: validation accuracy, or what else networks are judged by, against macs or params, the
    front, the budget, the references by name."""
    macs = np.array([cost_of(record, metric) for record in records])
    accuracy = np.array([100 * quality.of(record.metrics) for record in records])
    figure, axes = one_axes((8, 5))
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
        point = cost_of(chosen, metric), 100 * quality.of(chosen.metrics)
        axes.scatter(
            *point, s=170, marker="*", color=CHOSEN, edgecolor=INK, linewidth=0.8, zorder=4,
            label=f"chosen B0 (trial {chosen.number})",
        )  # fmt: skip
    if len(records):
        # The candidates fill the frame, and references above them are in it; one far below is drawn
        # at its edge, with its value.
        low = float(accuracy.min())
        best = [100 * quality.of(record.metrics) for record in references.values()]
        high = max([float(accuracy.max()), *best])
        margin = 0.15 * max(high - low, 1.0)
        axes.set_ylim(low - 2 * margin, high + margin)
    for (name, reference), marker in zip(references.items(), cycle("DsP^v"), strict=False):
        value = 100 * quality.of(reference.metrics)
        bottom, top = axes.get_ylim()
        inside = bottom < value < top
        edge = bottom + 0.03 * (top - bottom) if value <= bottom else top - 0.03 * (top - bottom)
        axes.scatter(
            cost_of(reference, metric), value if inside else edge, s=45, marker=marker,
            color=REFERENCE, zorder=4, label=name + ("" if inside else f" ({value:.1f}%, outside)"),
        )  # fmt: skip
    if budget_macs is not None:
        axes.axvline(budget_macs, color=INK, linestyle="--", linewidth=1, label="budget")
    cost_axis(axes, metric)
    axes.set_ylabel(f"validation {quality.words} (%)")
    axes.set_title(title)
    axes.grid(alpha=0.25)
    figure.legend(loc="outside lower center", ncols=3, fontsize=8, frameon=False)
    return png(figure)


def cost_of(record: TrialRecord, metric: str) -> float:
    """The counted cost of a record, for an axis."""
    return float(getattr(record.cost, metric))


def plot_benchmark(
    curves: Mapping[str, NDArray[np.float64]],
    bands: Mapping[str, tuple[NDArray[np.float64], NDArray[np.float64]]],
    axis: str,
    title: str,
) -> bytes:
    """PNG: mean regret of (seeds, evaluations) curves with their bands, by sampler."""
    figure, axes = one_axes((8, 5))
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
    return png(figure)


def plot_fidelity(table: pd.DataFrame, title: str, quality: Quality = ACCURACY) -> bytes:
    """PNG: accuracy, or what else networks are judged by, after the long schedule against the
    proxy's, one deviation of seeds as bars.

    `table` has the columns proxy, long, proxy_std, long_std (fractions; nan: not repeated).
    """
    figure, axes = one_axes((6, 6))
    values = {name: 100 * table[name].to_numpy(dtype=float) for name in table if name != "arch"}
    axes.errorbar(
        values["proxy"], values["long"],
        xerr=np.nan_to_num(values["proxy_std"]), yerr=np.nan_to_num(values["long_std"]),
        fmt="o", color=FRONT, ecolor=CLOUD, markersize=5, elinewidth=1.2,
    )  # fmt: skip
    axes.set_xlabel(f"validation {quality.words} by the proxy (%)")
    axes.set_ylabel(f"validation {quality.words} by the long schedule (%)")
    axes.set_title(title)
    axes.grid(alpha=0.25)
    return png(figure)
