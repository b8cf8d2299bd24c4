"""Which combinations of choices are the same network.

At a target many are: widths that round to the same channels, choices of a stage that is left out.
"""

import numpy as np
from numpy.typing import NDArray

from blocks.cost import ArchColumns
from search.samplers.box import hashed


def identities(columns: ArchColumns) -> NDArray[np.float64]:
    """(archs,): the same number where all that a space chooses of a network is the same."""
    order = np.argsort(~columns.present, axis=1, kind="stable")

    def kept(values: NDArray[np.generic]) -> NDArray[np.float64]:
        """Stages that are left out at the end, as zeros."""
        of_stages = np.where(columns.present, values.astype(np.float64), 0.0)
        return np.take_along_axis(of_stages, order, 1)

    repeats, stride, channels = (
        kept(values) for values in (columns.repeats, columns.stride, columns.channels)
    )
    entering = np.column_stack([columns.stem, channels[:, :-1]])
    shortcut = (repeats > 1) | ((stride == 1) & (entering == channels))
    fields = [
        np.column_stack([columns.resolution, columns.stem, columns.stem_stride, columns.head]),
        *(repeats, stride, channels, kept(columns.block), kept(columns.kernel)),
        *(kept(columns.expand_ratio), kept(columns.se_ratio), kept(columns.skip) * shortcut),
    ]
    return hashed(np.concatenate(fields, 1))
