"""A network in a few numbers."""

import numpy as np
import pytest

from blocks.arch import parse_arch
from blocks.cost import ArchColumns
from search.space.shape import SHAPE, describe_shape


def shape_of(*spellings: str) -> list[dict[str, float]]:
    columns = ArchColumns.from_archs([parse_arch(spelling) for spelling in spellings])
    return [dict(zip(SHAPE, row, strict=True)) for row in describe_shape(columns)]


def test_every_number_of_a_small_network() -> None:
    [shape] = shape_of("r32-s16-[ds_r1_k3_s1_e1_c8|ir_r2_k5_s2_e4_c24_se0.25]-h64")
    # The stem halves 32 to 16; blocks: 16→8 of 3×3 at 16, 8→24 and 24→24 of 5×5 at 8.
    assert shape == pytest.approx(
        {
            "depth": 3,
            "log_side": np.log([16, 8, 8]).mean(),
            "log_hidden": np.log([16, 32, 96]).mean(),
            "log_channels": np.log([8, 24, 24]).mean(),
            "log_last_channels": np.log(24),
            "log_narrowest": np.log(8),
            "log_stem": np.log(16),
            "log_head": np.log(64),
            "kernel": (3 + 5 + 5) / 3,
            "log_expansion": np.log([1, 4, 4]).mean(),
            "squeezed": 2 / 3,
            "adding": 1 / 3,
            "halvings": 2,
            # The stem sees 3 pixels; then 2 steps of 2 px, 4 of 2 px, 4 of 4 px.
            "log_receptive_field": np.log((3 + 2 * 2 + 4 * 2 + 4 * 4) / 32),
        }
    )


def test_networks_of_fewer_stages_are_described_alike() -> None:
    short = "r32-s16-[ds_r1_k3_s1_e1_c8]-h64"
    long = "r32-s16-[ds_r1_k3_s1_e1_c8|ir_r2_k5_s2_e4_c24|ir_r1_k3_s1_e6_c40]-h64"
    assert shape_of(short, long)[0] == pytest.approx(shape_of(short)[0])
