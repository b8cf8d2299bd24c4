"""Which trained networks are of the surface around a B0."""

from dataclasses import replace

import numpy as np
import pytest

from blocks.arch import parse_arch
from blocks.cost import count
from blocks.zoo import find_arch
from scaling.compound import scale
from scaling.fitting.further import as_near, grows_from
from scaling.fitting.lattice import nominal_logs, realised_logs

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


@pytest.mark.parametrize("name", NAMES)
def test_a_network_of_any_shape_has_a_place_beside_the_baseline(name: str) -> None:
    baseline = find_arch(name)
    macs = count(baseline, 10).macs
    assert nominal_logs(baseline, baseline, 1) == pytest.approx(0)
    grown = scale(
        baseline, depth=2, width=1.5, resolution=round(1.25 * baseline.resolution / 32) * 32
    )
    # Macs grow as depth · width² · resolution² but for a few layers.
    assert nominal_logs(baseline, grown, count(grown, 10).macs / macs) == pytest.approx(
        realised_logs(baseline, grown, 10), abs=0.15
    )
    other = parse_arch("r28-i1-s16-[ir_r2_k3_s2_e6_c16|ds_r3_k7_s2_e1_c32_se0.25]-h64")
    ratio = count(other, 10).macs / macs
    depth, width, side = nominal_logs(baseline, other, ratio)
    assert depth + 2 * width + 2 * side == pytest.approx(np.log(ratio))
    assert depth == pytest.approx(np.log(5 / sum(stage.repeats for stage in baseline.stages)))


def test_what_is_far_from_the_design_is_told() -> None:
    design = np.array([[-0.4, -0.2, -0.3], [0.6, 0.4, 0.5]])
    assert as_near(np.zeros(3), design)
    assert as_near(np.array([1.59, -0.79, -1.09]), design)
    assert not as_near(np.array([1.61, 0, 0]), design)
    assert not as_near(np.array([0, 0, -1.11]), design)
