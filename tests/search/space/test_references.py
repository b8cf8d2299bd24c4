"""Published networks, cut to the images and brought to a budget."""

import math
from dataclasses import replace

import pytest

from blocks.arch import square
from blocks.cost import count
from blocks.errors import ArchError
from blocks.zoo import find_arch
from search.errors import ConfigError
from search.space.budget import Budget
from search.space.references import (
    DEPTH_BY_WIDTH,
    cut_to_images,
    last_map,
    make_reference,
    strided,
    with_depth,
)

NAMES = ("efficientnet_b0", "mobilenetv2_100", "mobilenetv3_small", "mnasnet_a1", "tinynet_c")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("pixels", "target"), [(28, 2e6), (32, 1e6), (48, 10e6), (96, 30e6), (224, 1e9)]
)
def test_every_reference_meets_the_budget_with_a_map_that_is_left(
    name: str, pixels: int, target: float
) -> None:
    found = make_reference(name, pixels, 3, Budget("macs", 10**12, target), 10)
    assert abs(count(found.arch, 10).macs / target - 1) <= 0.02
    assert last_map(found.arch).shorter >= 4
    assert (found.arch.resolution, found.arch.in_channels) == (pixels, 3)
    kept = len(strided(find_arch(name))) - found.taken
    assert len(strided(found.arch)) == kept


def test_at_its_own_size_and_cost_a_network_is_as_published() -> None:
    own = find_arch("efficientnet_b0")
    budget = Budget("macs", 10**12, count(own, 1000).macs, tolerance=0.001)
    found = make_reference("efficientnet_b0", 224, 3, budget, 1000)
    assert replace(found.arch, head=own.head) == own  # which takes what the tolerance leaves
    assert (found.taken, found.depth, found.width) == (0, 1.0, 1.0)
    assert found.describe() == "efficientnet_b0: 1.00 of its depth, 1.00 of its width"


def test_strides_go_from_the_front_and_the_first_stay_where_the_budget_asks_for_it() -> None:
    b0 = find_arch("efficientnet_b0")
    cut, taken = cut_to_images(b0, square(32))
    assert (taken, strided(cut)) == (2, [2, 3, 5])  # the stem's and the second stage's are gone
    large = make_reference("efficientnet_b0", 32, 3, Budget("macs", 10**12, 4e6), 10)
    small = make_reference("efficientnet_b0", 32, 3, Budget("macs", 10**12, 1e6), 10)
    assert (large.kept, large.arch.stem_stride) == (0, 1)
    assert (small.kept, small.arch.stem_stride) == (1, 2)
    assert "2 of its strides after the first 1 taken out" in small.describe()


def test_depth_goes_with_width_as_compound_scaling_has_it() -> None:
    for target in (50e6, 100e6, 200e6, 800e6):
        found = make_reference("efficientnet_b0", 224, 3, Budget("macs", 10**12, target), 10)
        off = math.log(found.depth) - DEPTH_BY_WIDTH * math.log(found.width)
        assert abs(off) < 0.35, target


def test_a_level_of_the_map_keeps_a_block() -> None:
    b0 = find_arch("efficientnet_b0")
    least = with_depth(b0, 1 / 16)
    assert [stage.repeats for stage in least.stages] == [1, 1, 1, 1, 1]
    assert [stage.stride for stage in least.stages] == [1, 2, 2, 2, 2]
    assert last_map(least) == last_map(b0)
    assert with_depth(b0, 1.0) == b0


def test_what_cannot_be_is_said() -> None:
    with pytest.raises(ConfigError, match=r"mnasnet_a1 cannot be .* at 28 px; the nearest has 0"):
        make_reference("mnasnet_a1", 28, 3, Budget("macs", 10**12, 1e5), 10)
    with pytest.raises(ArchError, match="unknown network 'resnet0'"):
        make_reference("resnet0", 28, 3, Budget("macs", 10**12, 1e6), 10)


@pytest.mark.parametrize(("pixels", "macs"), [(3, 100_000), (8, 300_000), (16, 400_000)])
def test_images_that_are_too_small_for_the_published_strides(pixels: int, macs: int) -> None:
    """Five strides of 2 need 17 pixels: first they are taken out, then the images are smaller."""
    budget = Budget("macs", 10**6, float(macs))
    found = make_reference("mobilenetv2_100", pixels, 1, budget, 10)
    assert found.arch.resolution == pixels
    assert last_map(found.arch).shorter >= min(4, pixels)
