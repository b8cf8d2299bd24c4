"""Rounding, against the reference implementation's rules."""

import math

from hypothesis import given
from hypothesis import strategies as st

from blocks.rounding import (
    ROUNDINGS,
    expanded_channels,
    round_channels,
    round_repeats,
    squeezed_channels,
)


@given(st.integers(1, 4096), st.floats(0.1, 6))
def test_channels_are_multiples_of_eight_and_lose_less_than_a_tenth(
    channels: int, width: float
) -> None:
    rounded = round_channels(channels * width)
    assert rounded % 8 == 0
    assert rounded >= 0.9 * channels * width
    assert rounded <= max(8, channels * width + 8)


def test_published_roundings() -> None:
    # 32·1.4 = 44.8 → 48; 24·1.1 = 26.4 → 24; 16·1.2 = 19.2 → 16 loses 17%, so 24.
    assert [round_channels(c) for c in (44.8, 26.4, 19.2, 20, 12, 1)] == [48, 24, 24, 24, 16, 8]


@given(st.integers(1, 20), st.floats(1, 6))
def test_repeats_round_up(repeats: int, depth: float) -> None:
    rounded = round_repeats(repeats * depth)
    assert rounded - 1 < repeats * depth <= rounded + 1e-6
    assert rounded >= math.floor(repeats * depth)


def test_floating_point_dust_buys_no_block() -> None:
    depth = math.sqrt(2) ** 2
    assert 3 * depth > 6
    assert round_repeats(3 * depth) == 6


def test_squeeze_is_relative_to_the_block_input() -> None:
    assert [squeezed_channels(c, 0.25) for c in (32, 16, 6, 3)] == [8, 4, 1, 1]
    assert expanded_channels(24, 6) == 144
    assert expanded_channels(80, 2.3) == 184  # MobileNetV3's table


def test_the_policies_on_the_stem_of_b4() -> None:
    assert {name: policy(32 * 1.4) for name, policy in ROUNDINGS.items()} == {
        "paper": 48,
        "floor": 44,
        "floor8": 40,
    }
    assert {name: policy(0.3 * 8) for name, policy in ROUNDINGS.items()} == {
        "paper": 8,
        "floor": 8,
        "floor8": 8,
    }


def test_squeezed_channels_of_mobilenetv3_are_multiples_of_eight() -> None:
    # A quarter of the expanded 72, 120, 480, 672: torchvision mobilenetv3.py.
    assert [squeezed_channels(c, 0.25, 8) for c in (72, 120, 480, 672)] == [24, 32, 120, 168]
