"""Which trained networks are of the surface around a B0."""

from dataclasses import replace

import pytest

from blocks.zoo import find_arch
from scaling.compound import scale
from scaling.fitting.further import grows_from

NAMES = ("efficientnet_b0", "mobilenetv3_small", "mobilenetv2_100", "mnasnet_a1", "tinynet_c")


@pytest.mark.parametrize("name", NAMES)
def test_what_scaling_makes_grows_from_its_baseline(name: str) -> None:
    baseline = find_arch(name)
    grown = scale(baseline, depth=1.7, width=1.4, resolution=baseline.resolution + 32)
    assert grown != baseline
    assert grows_from(baseline, baseline)
    assert grows_from(baseline, grown)
    first, *rest = grown.stages
    other = replace(grown, stages=(replace(first, kernel=first.kernel + 2), *rest))
    assert not grows_from(baseline, other)
    act = "silu" if baseline.act == "relu6" else "relu6"
    assert not grows_from(baseline, replace(grown, act=act))
    assert not grows_from(baseline, find_arch("efficientnet_lite0"))
