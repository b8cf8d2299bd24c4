"""What squeeze-excite lets through: how far each channel of each block is opened for an image."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from torch import Tensor, nn

from blocks.layers import SqueezeExcitation
from blocks.network import Network

CLOSED: Final = 0.1
OPEN: Final = 0.9
Gates = dict[str, list[NDArray[np.float32]]]
"""Block, as `4.2` for the second of stage 4 → of each image (channels,), 0 closed and 1 open."""


@contextmanager
def watched(network: Network) -> Iterator[Gates]:
    """Within, every image that `network` sees leaves its gates."""
    gates: Gates = {}
    handles = []
    for number, stage in enumerate(network.stages, 1):
        for place, block in enumerate(stage.children(), 1):
            gate = getattr(block, "squeeze_excite", None)
            if isinstance(gate, SqueezeExcitation):
                kept = gates.setdefault(f"{number}.{place}", [])
                handles.append(gate.scale_activation.register_forward_hook(_keep(kept)))
    try:
        yield gates
    finally:
        for handle in handles:
            handle.remove()


def _keep(kept: list[NDArray[np.float32]]):  # type: ignore[no-untyped-def]
    def hook(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        kept.extend(output.detach().flatten(1).float().numpy())

    return hook


def gate_table(gates: Gates) -> pd.DataFrame:
    """A row per block: its channels, how far they are open in the mean, how much that differs
    between channels and between images, and the shares that are closed or open."""
    rows = []
    for block, kept in gates.items():
        values = np.stack(kept)
        rows.append(
            {
                "block": block,
                "channels": values.shape[1],
                "mean": values.mean(),
                "std_over_channels": values.mean(0).std(),
                "std_over_images": values.std(0).mean(),
                "closed": (values < CLOSED).mean(),
                "open": (values > OPEN).mean(),
            }
        )
    return pd.DataFrame(rows)
