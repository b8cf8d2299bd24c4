"""A network in a few numbers: how deep, how wide, where it looks at how large a map.

A model of many candidates reads these beside the choices that led to them. They mean the same in
every space and at every budget.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from blocks.cost import ArchColumns

SHAPE: Final = (
    "depth",
    "log_side",
    "log_hidden",
    "log_channels",
    "log_last_channels",
    "log_narrowest",
    "log_stem",
    "log_head",
    "kernel",
    "log_expansion",
    "squeezed",
    "adding",
    "halvings",
    "log_receptive_field",
)
"""Names of `describe_shape`'s columns. Means are over blocks; `squeezed` and `adding` are the
shares of blocks with squeeze-excite and with a shortcut; the receptive field is in units of the
image's height."""


def describe_shape(columns: ArchColumns) -> NDArray[np.float64]:
    """(networks, len(SHAPE))."""
    rows = len(columns)
    depth = np.zeros(rows)
    sums = {name: np.zeros(rows) for name in SHAPE}
    narrowest = np.log(columns.stem.astype(float))
    resolution = columns.resolution.astype(float)
    receptive = columns.stem_kernel.astype(float)
    for block in columns.blocks():
        times = block.times.astype(float)
        here = times > 0
        kernel = columns.kernel[:, block.position].astype(float)
        hidden = np.log(np.maximum(block.hidden, 1))
        out = np.log(np.maximum(block.out_channels, 1))
        depth += times
        sums["log_side"] += times * np.log(block.out_map.height)
        sums["log_hidden"] += times * hidden
        sums["log_channels"] += times * out
        sums["kernel"] += times * kernel
        sums["log_expansion"] += times * np.log(columns.expand_ratio[:, block.position])
        sums["squeezed"] += times * (block.squeezed > 0)
        sums["adding"] += times * block.adds
        receptive += times * (kernel - 1) * resolution / block.in_map.height
        sums["log_last_channels"] = np.where(here, out, sums["log_last_channels"])
        sums["halvings"] = np.log2(resolution / block.out_map.height)
        narrowest = np.where(here, np.minimum(narrowest, out), narrowest)
    for name in (
        "log_side", "log_hidden", "log_channels", "kernel", "log_expansion", "squeezed", "adding"
    ):  # fmt: skip
        sums[name] /= np.maximum(depth, 1)
    sums["depth"] = depth
    sums["log_narrowest"] = narrowest
    sums["log_stem"] = np.log(columns.stem)
    sums["log_head"] = np.log(np.maximum(columns.head, 1))
    sums["log_receptive_field"] = np.log(receptive / resolution)
    return np.stack([sums[name] for name in SHAPE], 1)
