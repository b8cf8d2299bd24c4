"""Pictures of how a network judges: who is taken for whom, the worst images, calibration."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from blocks.figure import FRONT, INK, new_figure, one_axes, png

Pixels = NDArray[np.float32]
"""(H, W, C) in 0…1, with C of 1 or 3."""


def plot_calibration(sure: NDArray[np.float64], right: NDArray[np.bool_], title: str) -> bytes:
    """PNG: of answers of about the same probability, the share that is right."""
    figure, axes = one_axes((4.5, 4.2))
    place = np.clip((sure * 15).astype(int), 0, 14)
    counts = np.bincount(place, minlength=15)
    there = counts > 0
    mean = np.bincount(place, weights=sure, minlength=15)[there] / counts[there]
    share = np.bincount(place, weights=right.astype(float), minlength=15)[there] / counts[there]
    axes.plot([0, 1], [0, 1], color=INK, linestyle=":", linewidth=1, label="calibrated")
    axes.plot(mean, share, color=FRONT, linewidth=1.2)
    axes.scatter(mean, share, s=6 + 90 * counts[there] / counts.max(), color=FRONT, zorder=3)
    axes.set_xlabel("probability that is given")
    axes.set_ylabel("share that is right")
    axes.set_title(title, fontsize=10)
    axes.grid(alpha=0.25)
    axes.legend(fontsize=8, frameon=False)
    return png(figure)


def plot_grid(
    rows: Sequence[Sequence[Pixels]], titles: Sequence[Sequence[str]], columns: Sequence[str] = ()
) -> bytes:
    """PNG: a table of images, each below its title; `columns` head the first row."""
    wide = max(map(len, rows))
    figure = new_figure(1.75 * wide, 2.0 * len(rows) + (0.3 if columns else 0))
    cells = figure.subplots(len(rows), wide, squeeze=False)
    for row, texts, axes in zip(rows, titles, cells, strict=True):
        for number, place in enumerate(axes):
            place.axis("off")
            if number < len(row):
                image = row[number]
                grey = image.shape[2] == 1
                place.imshow(
                    image[..., 0] if grey else image, cmap="gray" if grey else None, vmin=0, vmax=1
                )
                place.set_title(texts[number], fontsize=7)
    for name, place in zip(columns, cells[0], strict=False):
        place.set_title(f"{name}\n{place.get_title()}".strip(), fontsize=7)
    return png(figure)


def plot_bars(groups: Sequence[tuple[str, NDArray[np.float64]]], title: str, label: str) -> bytes:
    """PNG: a box for each group of numbers."""
    figure, axes = one_axes((max(4.0, 0.55 * len(groups) + 1.5), 3.6))
    axes.boxplot([values for _, values in groups], widths=0.6, whis=(5, 95), sym="")
    axes.set_xticks(
        range(1, len(groups) + 1), [name for name, _ in groups], rotation=60, ha="right", fontsize=7
    )
    axes.set_ylabel(label)
    axes.set_title(title, fontsize=10)
    axes.grid(alpha=0.25, axis="y")
    return png(figure)
