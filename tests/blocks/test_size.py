"""Sizes: of images that are not square, too."""

import re
from dataclasses import replace

import pytest
import torch

from blocks.arch import ArchSpec, Size, format_arch, parse_arch, size_from, square
from blocks.arch.walk import last_map, stem_map
from blocks.cost import ArchColumns, count
from blocks.cost.fvcore_referee import referee
from blocks.errors import ArchError
from blocks.network import Network

WIDE = parse_arch("r24x50-s8-[ds_r1_k3_s1_e1_c8|ir_r2_k5_s2_e4_c16_se0.25]-h32")


@pytest.mark.parametrize(("text", "size"), [
    ("96", Size(96, 96)), ("96x192", Size(96, 192)), (" 96 × 192 ", Size(96, 192)),
    (28, Size(28, 28)), (Size(3, 4), Size(3, 4)),
])  # fmt: skip
def test_sizes_are_read(text: int | str | Size, size: Size) -> None:
    assert size_from(text) == size
    assert size_from(str(size)) == size


@pytest.mark.parametrize("text", ["0", "96x0", "-3", "96x", "x96", "1x2x3", "9.5", "", True, "٩"])
def test_what_is_no_size_is_refused(text: str | bool) -> None:
    expected = f"proxy.resolution={text} is not a number of pixels, as 96, or height x width"
    with pytest.raises(ArchError, match=re.escape(expected)):
        size_from(text, "proxy.resolution")


def test_the_spelling_says_height_and_width() -> None:
    assert WIDE.image == (24, 50)
    assert format_arch(WIDE).startswith("r24x50-")
    assert replace(WIDE, wide=24) == replace(WIDE, wide=None)  # one network, one spelling
    with pytest.raises(ArchError, match="malformed token 'r24x24' at position 1"):
        parse_arch("r24x24-s8-[ds_r1_k3_s1_e1_c8]-h0")


def test_maps_are_as_pytorch_makes_them() -> None:
    assert (stem_map(WIDE), last_map(WIDE)) == (Size(12, 25), Size(6, 13))
    network = Network(WIDE, 5).eval()
    stem = network.stem(torch.zeros(1, 3, 24, 50))
    assert stem.shape[2:] == (12, 25)
    for stage in network.stages:
        stem = stage(stem)
    assert stem.shape[2:] == (6, 13)


def test_the_cost_is_confirmed_by_fvcore() -> None:
    assert referee(Network(WIDE, 5)) == count(WIDE, 5)
    turned = WIDE.with_image(Size(50, 24))
    assert count(turned, 5) == count(WIDE, 5) != count(replace(WIDE, wide=None), 5)


def test_both_sides_grow_alike() -> None:
    assert WIDE.resized(36).image == (36, 75)
    assert WIDE.image.scaled(1.5) == (36, 75)
    columns = ArchColumns.from_archs([WIDE] * 40)
    heights = columns.resolution + range(40)
    grown = columns.at_heights(heights, WIDE.image)
    assert grown.wide.tolist() == [WIDE.resized(24 + more).image.width for more in range(40)]


@pytest.mark.parametrize("image", [Size(24, 3), Size(3, 24), Size(3, 3)])
def test_the_shorter_side_is_too_short_for_the_strides(image: Size) -> None:
    three: ArchSpec = parse_arch(
        "r64-s8-[ds_r1_k3_s2_e1_c8|ir_r1_k3_s2_e2_c8]-h8"  # a total stride of 8 needs 5 pixels
    )
    with pytest.raises(ArchError, match=f"resolution {image} is too small.*expected 5 or more"):
        three.with_image(image)
    assert three.with_image(Size(10, 20)).least_resolution == 5
    assert three.with_image(Size(20, 10)).least_resolution == 10  # 9 makes 4.5, which rounds to 4


def test_square_sizes_share_a_column() -> None:
    size = square(ArchColumns.from_archs([WIDE]).resolution).strided(2)
    assert size.height is size.width
