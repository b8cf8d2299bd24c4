"""Points of a design, and what costs the same."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from blocks.arch import parse_arch
from blocks.cost import count, count_many
from blocks.zoo import EFFICIENTNET_B0
from scaling.compound import ScalingError, scale
from scaling.fitting.contour import Contour, find_contour
from scaling.fitting.design import BEYOND, LOW, check_axes, check_levels, draw_points, repeat_points
from scaling.fitting.lattice import Lattice, realised_logs, resolutions
from scaling.fitting.observations import Observations
from scaling.fitting.optimum import find_optimum
from scaling.fitting.posterior import infer

TINY = parse_arch("r28-i1-s16-[ds_r1_k3_s1_e1_c16|ir_r2_k3_s2_e4_c32|ir_r3_k5_s2_e6_c64]-h128")
LATTICE = Lattice(TINY, 10, "paper", LOW, 1 + BEYOND)


def contour(lattice: Lattice = LATTICE, metric: str = "macs", ratio: float = 2.0) -> Contour:
    base = getattr(count(lattice.baseline, lattice.num_classes), metric)
    return find_contour(
        lattice,
        lambda columns: getattr(columns.count(lattice.num_classes), metric),
        base,
        ratio,
        0.03,
        0,
    )


def test_a_place_is_what_the_network_became() -> None:
    # 6 blocks are 9, whatever was asked; 36 px are 36/28.
    arch = scale(TINY, 1.5, 1.0, 36, repeats="nearest")
    blocks = sum(stage.repeats for stage in arch.stages)
    logs = realised_logs(TINY, arch, 10)
    assert logs == pytest.approx([math.log(blocks / 6), 0, math.log(36 / 28)])
    # All widths doubled: two, whatever the shares.
    assert realised_logs(TINY, scale(TINY, 1.0, 2.0, 28), 10)[1] == pytest.approx(math.log(2))


@given(st.integers(0, 2**30))
def test_columns_are_what_scaling_makes(seed: int) -> None:
    generator = np.random.default_rng(seed)
    places = np.column_stack([generator.integers(0, n, 5) for n in LATTICE.shape])
    archs = [LATTICE.arch([int(value) for value in place]) for place in places]
    costs, expected = LATTICE.columns(places).count(10), count_many(archs, 10)
    assert costs.macs.tolist() == expected.macs.tolist()
    assert costs.params.tolist() == expected.params.tolist()
    realised = [realised_logs(TINY, arch, 10) for arch in archs]
    assert LATTICE.realised(places) == pytest.approx(np.array(realised))


def test_resolutions_are_multiples_of_the_stride_or_parts_of_it() -> None:
    assert resolutions(EFFICIENTNET_B0, 0.7, 1.7) == [160, 192, 224, 256, 288, 320, 352]
    assert TINY.total_stride == 8
    assert resolutions(TINY, 0.7, 1.7) == [20, 24, 28, 32, 36, 40, 44]
    deep = parse_arch("r16-i1-s8-[ir_r1_k3_s2_e4_c8|ir_r1_k3_s2_e4_c8|ir_r1_k3_s2_e4_c8]-h32")
    assert min(resolutions(deep, 0.1, 1.0)) == 10  # fewer pixels are too few for its strides


def test_points_are_different_networks_around_the_baseline() -> None:
    points = draw_points(LATTICE, 60, 1.5, [4], [1.0], 3)
    assert len({point.arch for point in points}) == len(points) == 60
    assert points[0].arch == str(TINY)
    base = count(TINY, 10).macs
    for point in points:
        arch = parse_arch(point.arch)
        assert point.macs == count(arch, 10).macs
        assert LOW <= math.log2(point.macs / base) <= 1.5
        assert point.logs == pytest.approx(realised_logs(TINY, arch, 10))
    logs = np.array([point.logs for point in points])
    # Axes apart: no two go together, and each is seen on both sides of B0.
    assert (np.abs(np.corrcoef(logs.T) - np.eye(3)) < 0.5).all()
    assert (logs.min(0) < -0.1).all()
    assert (logs.max(0) > 0.3).all()
    # A larger design begins with the smaller.
    assert draw_points(LATTICE, 80, 1.5, [4], [1.0], 3)[:60] == points
    assert draw_points(LATTICE, 60, 1.5, [4], [1.0], 4) != points


def test_schedules_are_dimensions() -> None:
    points = draw_points(LATTICE, 40, 1.5, [2, 4], [0.5, 1.0], 0)
    levels = [(point.epochs, point.train_fraction) for point in points]
    assert levels[0] == (4, 1.0)
    assert all(levels.count(level) >= 5 for level in [(2, 0.5), (2, 1.0), (4, 0.5), (4, 1.0)])


def test_the_first_points_are_repeated() -> None:
    points = repeat_points(draw_points(LATTICE, 10, 1.5, [4], [1.0], 0), 3, 4)
    assert [point.trainings for point in points] == [4] * 3 + [1] * 7


def test_points_that_leave_an_axis_unmoved_are_refused() -> None:
    points = draw_points(LATTICE, 3, 1.5, [4], [1.0], 0)
    with pytest.raises(ScalingError, match=r"all networks \(1\) have one depth"):
        check_levels(points[:1])


NARROW = parse_arch("r28-i1-s8-[ir_r2_k3_s1_e3_c8|ir_r2_k3_s2_e3_c8|ir_r3_k3_s2_e3_c8]-h8")


def test_an_axis_that_cannot_grow_is_left_alone() -> None:
    """Rounded down to multiples of 8, 8 channels stay 8: depth and resolution are compared."""
    high = math.log2(1.2) + BEYOND
    lattice = Lattice(NARROW, 10, "floor8", LOW, high)
    assert lattice.stuck == ["width"]
    check_axes(lattice, 1.2)
    points = draw_points(lattice, 16, high, [4], [1.0], 0)
    check_levels(points, lattice.stuck)
    found = contour(lattice, ratio=1.2)
    assert len(found.logs)
    assert (found.logs[:, 1] == 0).all()
    assert found.cost(found.logs) == pytest.approx(1.2, rel=1e-6)
    assert found.along(np.array([0.0, 1.0, 0.0])) is None
    assert found.along(np.array([1.0, 0.0, 0.0])) is not None
    observed = Observations(
        np.array([point.logs for point in points]),
        tuple(np.array([0.8 + 0.1 * point.logs[0]]) for point in points),
        1000,
    )
    optimum = find_optimum(infer(observed, 200, 0), found.logs, {}, steps=lattice.steps)
    assert optimum.intervals[1].tolist() == [0, 0]
    assert optimum.logs[0] == pytest.approx(found.logs[:, 0].max(), abs=0.05)


def test_a_baseline_that_grows_one_way_alone_is_refused() -> None:
    shallow = parse_arch("r28-i1-s8-[ir_r1_k3_s2_e3_c8]-h8")
    lattice = Lattice(shallow, 10, "floor8", LOW, math.log2(1.05) + BEYOND)
    with pytest.raises(ScalingError, match=r"only resolution of this B0 can grow within fit\.cost"):
        check_axes(lattice, 1.05)


def test_the_contour_costs_the_target() -> None:
    found = contour()
    assert found.cost(found.logs) == pytest.approx(2, rel=1e-6)
    assert (found.logs >= 0).all()
    archs = [LATTICE.arch([int(value) for value in place]) for place in found.places]
    ratios = [count(arch, 10).macs / count(TINY, 10).macs for arch in archs]
    assert found.ratios == pytest.approx(ratios)
    assert all(abs(ratio / 2 - 1) <= 0.03 for ratio in ratios)
    # Real networks are near to the law: the stairs of this small one are some percent.
    assert found.cost(found.realised) == pytest.approx(found.ratios, rel=5 * found.stairs)
    for axis in range(3):
        alone = found.along(np.eye(3)[axis])
        assert alone is not None
        assert np.flatnonzero(alone).tolist() == [axis]
        assert found.cost(alone[None])[0] == pytest.approx(2, rel=1e-6)


def test_the_law_of_cost_of_efficientnet_b0() -> None:
    """Reference: doubling from B0 costs d^1.02, w^1.91, r^1.99."""
    lattice = Lattice(EFFICIENTNET_B0, 1000, "paper", LOW, 1 + BEYOND)
    found = contour(lattice)
    exponents = []
    for axis in range(3):
        alone = found.along(np.eye(3)[axis])
        assert alone is not None
        exponents.append(math.log(2) / alone[axis])
    assert exponents == pytest.approx([1.02, 1.91, 1.99], abs=0.06)
    assert found.stairs < 0.03


def test_parameters_do_not_grow_with_resolution() -> None:
    found = contour(metric="params")
    assert found.along(np.array([0.0, 0.0, 1.0])) is None
    sides = found.logs[:, 2]
    assert sides.max() == pytest.approx(found.most[2])  # any resolution costs the same


def test_the_contour_stays_within_the_macs_of_the_design() -> None:
    """Twice the parameters are up to six times the macs, of which nothing was trained."""
    base = count(TINY, 10)
    found = find_contour(
        LATTICE, lambda columns: columns.count(10).params, base.params, 2.0, 0.03, 0, 2**1.5
    )
    everything = contour(metric="params")
    assert 0 < len(found.logs) < len(everything.logs)
    archs = [LATTICE.arch([int(value) for value in place]) for place in found.places]
    assert max(count(arch, 10).macs for arch in archs) <= 2**1.5 * base.macs
    assert found.seen(found.logs).all()


def test_a_target_that_nothing_costs_is_refused() -> None:
    with pytest.raises(ScalingError, match=r"costs fit\.cost=50 times as much"):
        contour(ratio=50.0)


def test_a_tiny_network_has_a_contour_too() -> None:
    """One pixel more doubles its maps: hardly a grown network costs less than twice as much, and a
    quadratic of those alone has B0 itself at 2.05."""
    tiny = parse_arch(
        "r8-i1-s16-[ir_r2_k3_s1_e3_c8_noskip|ir_r1_k3_s2_e6_c48|ds_r2_k5_s2_e1_c64]-h128"
    )
    found = contour(Lattice(tiny, 10, "paper", LOW, 1 + BEYOND))
    assert found.cost(np.zeros((1, 3)))[0] == 1
    assert (np.diff(found.cost(np.linspace(0, 0.4, 9)[:, None] * np.ones(3))) > 0).all()
    assert found.cost(found.logs) == pytest.approx(2, rel=1e-6)
    assert len(found.logs) > 100
