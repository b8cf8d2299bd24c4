"""Published accuracies of networks scaled by hand: what a fit can be tried on without training.

Width × resolution alone: nobody has published such a grid with depths.
"""

from dataclasses import dataclass
from importlib import resources
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

IMAGES: Final = 50_000
"""ImageNet's validation split, on which all of them were measured."""
GRIDS: Final = ("mnasnet_a1", "mobilenet_v2")


@dataclass(frozen=True)
class PublishedGrid:
    """Logs of (width, resolution) over those of 1.0 and 224 px, (points, 2), and top-1 accuracies
    as fractions, (points,)."""

    logs: NDArray[np.float64]
    accuracy: NDArray[np.float64]
    macs: NDArray[np.float64]


def read_grid(name: str) -> PublishedGrid:
    """One of `GRIDS`; the first lines of its file name the source."""
    file = resources.files("scaling") / "published" / f"{name}.csv"
    with resources.as_file(file) as path:
        table = pd.read_csv(path, comment="#")
    logs = np.log(np.column_stack([table["width"], table["resolution"] / 224]))
    return PublishedGrid(
        logs, table["top1"].to_numpy(dtype=float) / 100, 1e6 * table["macs_m"].to_numpy(dtype=float)
    )
