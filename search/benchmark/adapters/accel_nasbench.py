"""Accel-NASBench (Ahmad et al., 2024): networks of the MnasNet space, trained on ImageNet.

Seven stages with EfficientNet-B0's channels and strides at 224 px; digit strings give each one's
expansion, kernel, layers and squeeze-excite. Its parameters are ours to the last one; its MACs
count more than convolutions and linear layers, so they are kept as `macs_reported`.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pandas as pd

from blocks.arch import ArchSpec, StageSpec

CHANNELS: Final = (16, 24, 40, 80, 112, 192, 320)
STRIDES: Final = (1, 2, 2, 2, 1, 2, 1)
SE_RATIO: Final = 0.25
DIGITS: Final = ("e", "k", "l", "se")


def read(path: Path) -> Iterator[tuple[ArchSpec, dict[str, float]]]:
    """(architecture, metrics) of every record; accuracies are fractions."""
    table = pd.read_csv(path, dtype=dict.fromkeys(DIGITS, str))
    numbers = table.drop(columns=[*DIGITS, "id", "val_top1", "val_top5", "macs_m", "params_m"])
    numbers["val_accuracy"] = table["val_top1"] / 100
    numbers["val_top5_accuracy"] = table["val_top5"] / 100
    numbers["macs_reported"] = table["macs_m"] * 1e6
    digits = table[list(DIGITS)].itertuples(index=False)
    for row, metrics in zip(digits, numbers.to_dict("records"), strict=True):
        stages = tuple(
            StageSpec(
                block="ds" if expand == "1" else "ir",
                repeats=int(layers),
                kernel=int(kernel),
                stride=stride,
                expand_ratio=int(expand),
                channels=channels,
                se_ratio=SE_RATIO if squeeze == "1" else 0.0,
            )
            for expand, kernel, layers, squeeze, stride, channels in zip(
                *row, STRIDES, CHANNELS, strict=True
            )
        )
        yield (
            ArchSpec(stem=32, stages=stages, head=1280, resolution=224),
            {str(name): float(value) for name, value in metrics.items()},
        )
