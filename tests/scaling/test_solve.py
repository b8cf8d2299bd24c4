"""Networks on exact budgets: the stairs of cost, the targets met, the rule kept to."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blocks.arch import ArchSpec, parse_arch
from blocks.cost import count
from blocks.errors import ArchError
from blocks.latency.values import Latency
from blocks.zoo import EFFICIENTNET_B0, ZOO
from scaling.compound import (
    PAPER,
    ScalingCoefficients,
    ScalingError,
    depth_steps,
    scale,
    scale_repeats,
)
from scaling.latency_targets import solve_latencies
from scaling.rule_kinds import compound, free
from scaling.rules import RULES, find_rule
from scaling.solve import solve, solve_targets
from scaling.target import Target
from tests.strategies import archs

SMALL = parse_arch(
    "r28-i1-s16-[ds_r1_k3_s1_e1_c16|ir_r2_k3_s2_e4_c24_se0.25|ir_r2_k5_s2_e4_c40_se0.25]-h128"
)
B0_REPEATS = [1, 2, 2, 3, 3, 4, 1]


def test_blocks_come_one_by_one_and_at_the_end_first() -> None:
    assert scale_repeats(B0_REPEATS, 1.01) == (2, 3, 3, 4, 4, 5, 2)  # the paper's: 16 → 23
    assert scale_repeats(B0_REPEATS, 1.0, policy="nearest") == tuple(B0_REPEATS)
    # Halfway for both stages of 2: the later one first (4·1.25 is 5 already).
    assert scale_repeats(B0_REPEATS, 1.2505, policy="nearest") == (1, 2, 2, 4, 4, 5, 1)
    assert scale_repeats(B0_REPEATS, 1.261, policy="nearest") == (1, 2, 3, 4, 4, 5, 1)
    assert scale_repeats(B0_REPEATS, 1.27, policy="nearest") == (1, 3, 3, 4, 4, 5, 1)
    assert scale_repeats(B0_REPEATS, 0.01, policy="nearest") == (1,) * 7


def test_late_depth_is_for_the_last_third() -> None:
    assert scale_repeats([2, 2, 2, 2, 2, 2], 1.0, late_depth=2.0) == (2, 2, 2, 2, 4, 4)
    assert scale_repeats([3], 2.0, late_depth=1.5, policy="nearest") == (9,)
    plain = scale(EFFICIENTNET_B0, 1.5, 1.2, 256)
    assert scale(EFFICIENTNET_B0, 1.5, 1.2, 256, late_depth=1.0, repeats="up") == plain
    assert scale(EFFICIENTNET_B0, 1.0, 1.0, 224, late_depth=3.0).stages[4].repeats == 3
    assert scale(EFFICIENTNET_B0, 1.0, 1.0, 224, late_depth=3.0).stages[5].repeats == 12


@given(
    st.lists(st.integers(1, 9), min_size=1, max_size=8),
    st.floats(0.3, 4.0),
    st.floats(1.0, 2.0),
)
def test_between_two_steps_the_depths_do_not_change(
    repeats: list[int], low: float, late: float
) -> None:
    steps = depth_steps(repeats, late, low, 2 * low)
    edges = [low, *steps, 2 * low]
    for below, above in itertools.pairwise(edges):
        if above - below > 1e-6:
            inside = {
                scale_repeats(repeats, below + share * (above - below), late, "nearest")
                for share in (0.01, 0.3, 0.5, 0.99)
            }
            assert len(inside) == 1
    for step in steps:
        before, after = (
            scale_repeats(repeats, step * factor, late, "nearest") for factor in (1 - 1e-6, 1.0)
        )
        assert sum(after) > sum(before)


@pytest.mark.parametrize("rule", [name for name in RULES if name != "depth"])
def test_b0_reaches_every_budget_from_50_million_to_40_billion(rule: str) -> None:
    targets = [Target("macs", float(value)) for value in np.geomspace(50e6, 40e9, 25)]
    for target, solution in zip(
        targets, solve_targets(EFFICIENTNET_B0, RULES[rule], targets, 1000), strict=True
    ):
        assert solution.cost == count(solution.arch)
        assert abs(solution.cost.macs / target.value - 1) <= 0.02
        assert solution.residual == pytest.approx(solution.cost.macs / target.value - 1)
        # 0.16 is a sixth of a factor e, in all three together.
        assert solution.deviation < 0.16


@pytest.mark.parametrize("rule", ["compound", "dwr", "tinynet"])
def test_a_small_b0_reaches_a_quarter_to_128_times_its_cost(rule: str) -> None:
    own = count(SMALL, 10).macs
    targets = [Target("macs", own * 2.0**phi) for phi in np.arange(-2, 7.01, 0.25)]
    for solution in solve_targets(SMALL, RULES[rule], targets, 10):
        assert abs(solution.residual) <= 0.02
        widths = [solution.arch.stem, solution.arch.head]
        widths += [stage.channels for stage in solution.arch.stages]
        assert all(width % 8 == 0 for width in widths)


@pytest.mark.parametrize("metric", ["params", "activations"])
def test_other_costs_are_targets_too(metric: str) -> None:
    own = getattr(count(EFFICIENTNET_B0), metric)
    for factor in (1.3, 2.0, 5.0):
        target = Target(metric, own * factor, 0.01)
        solution = solve(EFFICIENTNET_B0, RULES["compound"], target, 1000)
        assert getattr(solution.cost, metric) == pytest.approx(own * factor, rel=0.01)


@pytest.mark.parametrize("name", ["resnet50", "resnext50_32x4d", "mobilenetv3_small"])
def test_other_families_of_networks_scale(name: str) -> None:
    own = count(ZOO[name]).macs
    for factor in (1.5, 4.0):
        solution = solve(ZOO[name], RULES["compound"], Target("macs", own * factor), 1000)
        assert abs(solution.residual) <= 0.02
        assert (solution.arch.head == 0) == (ZOO[name].head == 0)


def test_the_baseline_costs_what_it_costs() -> None:
    own = count(EFFICIENTNET_B0).macs
    solution = solve(EFFICIENTNET_B0, RULES["compound"], Target("macs", own), 1000)
    assert solution.arch is EFFICIENTNET_B0
    assert (solution.residual, solution.deviation) == (0, 0)


def test_a_single_axis_stays_one() -> None:
    own = count(EFFICIENTNET_B0).macs
    wide = solve(EFFICIENTNET_B0, RULES["width"], Target("macs", 4 * own), 1000)
    assert (wide.depth, wide.resolution) == (1, 1)
    large = solve(EFFICIENTNET_B0, RULES["resolution"], Target("macs", 4 * own), 1000)
    assert (large.depth, large.arch.resolution) == (1, 448)
    assert large.width == pytest.approx(1, abs=0.01)


def test_the_multipliers_make_the_network_again() -> None:
    own = count(EFFICIENTNET_B0).macs
    for name in ("compound", "efficientnetv2"):
        for solution in solve_targets(
            EFFICIENTNET_B0, RULES[name], [Target("macs", own * f) for f in (1.5, 3, 9)], 1000
        ):
            again = scale(
                EFFICIENTNET_B0,
                solution.depth_multiplier,
                solution.width_multiplier,
                solution.arch.resolution,
                late_depth=solution.late_depth,
                repeats="nearest",
            )
            assert again == solution.arch


def test_nothing_nearer_was_passed_over() -> None:
    """Every depth, width and even size around a small network, counted one by one."""
    rule = compound(PAPER)
    target = Target("macs", 2.0 * count(SMALL, 10).macs)
    solution = solve(SMALL, rule, target, 10)
    line = np.array([math.log(value) for value in (1.2, 1.1, 1.15)])
    line /= np.linalg.norm(line)

    def deviation(arch: ArchSpec) -> float:
        grown = [(arch.stem, SMALL.stem, 1), (arch.head, SMALL.head, 1)]
        grown += [
            (new.channels, old.channels, old.repeats)
            for new, old in zip(arch.stages, SMALL.stages, strict=True)
        ]
        width = sum(n * math.log(a / b) for a, b, n in grown) / sum(n for _, _, n in grown)
        depth = math.log(sum(stage.repeats for stage in arch.stages) / 5)
        point = np.array([depth, width, math.log(arch.resolution / 28)])
        return float(np.linalg.norm(point - (point @ line) * line))

    assert solution.deviation == pytest.approx(deviation(solution.arch), abs=1e-3)
    for depth in (1.0, 1.2505, 1.26, 1.5002, 1.51, 1.8):
        for width in np.arange(0.9, 1.4, 0.004):
            for size in (26, 28, 30, 32, 34, 36, 38, 40):
                arch = scale(SMALL, depth, float(width), size, repeats="nearest")
                miss = math.log(count(arch, 10).macs / target.value)
                if abs(miss) <= 0.0198:
                    # Waste is left out, which may only make `solution` look worse: up to half
                    # of ln(40/34).
                    best = math.hypot(solution.deviation, 2 * math.log(1 + solution.residual))
                    assert best <= math.hypot(deviation(arch), 2 * miss) + 0.04


def test_sizes_are_useful_ones() -> None:
    own = count(EFFICIENTNET_B0).macs
    solutions = solve_targets(
        EFFICIENTNET_B0, RULES["compound"], [Target("macs", own * 2.0**k) for k in range(8)], 1000
    )
    assert all(solution.arch.resolution % 2 == 0 for solution in solutions)
    # Cost has stairs: an odd size costs as much as the next even one.
    odd = replace(EFFICIENTNET_B0, resolution=255)
    assert count(odd).macs == count(replace(odd, resolution=256)).macs


@settings(max_examples=25)
@given(archs(), st.floats(1.0, 6.0), st.sampled_from(["compound", "dwr", "uniform"]))
def test_any_network_is_scaled_or_refused_in_words(
    arch: ArchSpec, factor: float, rule: str
) -> None:
    target = Target("macs", count(arch, 7).macs * factor)
    try:
        solution = solve(arch, RULES[rule], target, 7)
    except (ScalingError, ArchError):
        # Groups that fit no other width, or too small a network for multiples of 8.
        return
    assert solution.cost == count(solution.arch, 7)
    assert abs(solution.residual) <= 0.25


@pytest.mark.parametrize(
    ("rule", "metric", "value", "message"),
    [
        ("resolution", "params", 9e6, "grow too slowly"),
        ("width", "macs", 5e6, "the nearest has"),
        ("resolution", "macs", 1e5, "collapses"),
    ],
)
def test_what_a_rule_cannot_reach(rule: str, metric: str, value: float, message: str) -> None:
    with pytest.raises(ScalingError, match=message):
        solve(EFFICIENTNET_B0, RULES[rule], Target(metric, value), 1000)


@pytest.mark.parametrize(
    ("metric", "value", "tolerance"),
    [
        ("flops", 1e6, 0.02),
        ("macs", math.nan, 0.02),
        ("macs", 0.0, 0.02),
        ("macs", 1e13, 0.02),
        ("macs", 1e6, -1.0),
    ],
)
def test_targets_that_are_none(metric: str, value: float, tolerance: float) -> None:
    with pytest.raises(ScalingError):
        Target(metric, value, tolerance)


def test_groups_stay_whole() -> None:
    # ResNeXt-50: half of the channels in 32 groups, so channels are multiples of 64.
    own = count(ZOO["resnext50_32x4d"]).macs
    arch = solve(ZOO["resnext50_32x4d"], free(0, 1, 0), Target("macs", 3 * own), 1000).arch
    assert all(stage.channels // 2 % 32 == 0 for stage in arch.stages)


def test_latencies_by_a_clock_that_follows_a_law() -> None:
    """A device whose time is 2 ms + 0.1 ms for each million macs: the macs are found again."""
    measured: list[ArchSpec] = []

    def clock(arch: ArchSpec) -> Latency:
        measured.append(arch)
        milliseconds = 2 + count(arch, 10).macs / 1e7
        return Latency(
            median_ms=milliseconds, p5_ms=milliseconds, p95_ms=milliseconds, batch=1, threads=1,
            runtime="eager", device="law", low_ms=milliseconds, high_ms=milliseconds, repeats=15,
            converged=True,
        )  # fmt: skip

    found = list(solve_latencies(SMALL, RULES["uniform"], [2.5, 5.0, 20.0], clock, 10))
    for timed, wanted in zip(found, [2.5, 5.0, 20.0], strict=True):
        assert timed.latency.median_ms == pytest.approx(wanted, rel=0.1)
        assert timed.solution.cost == count(timed.solution.arch, 10)
    assert len(measured) <= 16
    # Nothing is faster than 2 ms, however small.
    with pytest.raises(ScalingError, match="latency_ms=1"):
        list(solve_latencies(SMALL, RULES["uniform"], [1.0], clock, 10))
    with pytest.raises(ScalingError, match="only grows"):
        list(solve_latencies(SMALL, RULES["compound"], [1.0], clock, 10))


def test_a_target_only_a_wider_reach_finds() -> None:
    """Near the rule's point everything is below five pixels; farther off there is a network."""
    small = parse_arch("r8-i1-s16-[ir_r1_k3_s1_e4_c24|ir_r1_k5_s2_e3_c16|ds_r1_k7_s2_e1_c32]-h128")
    target = Target("macs", 0.3 * count(small, 10).macs)
    for rule in ("depth", "resolution"):
        assert abs(solve(small, RULES[rule], target, 10).residual) < 0.05


@pytest.mark.parametrize(
    "coefficients", [(1.2, 1.1, 1.15), (1.14, 1.35, 1.09), (1.0, 1.4, 1.02), (1.9, 1.0, 1.03)]
)
def test_no_axis_of_a_member_is_below_the_baselines(
    coefficients: tuple[float, float, float],
) -> None:
    small = parse_arch(
        "r28-i1-s8_s1-[ir_r1_k3_s2_e6_c8|ir_r3_k5_s2_e4_c16|ds_r1_k3_s2_e1_c24_se0.25]-h48"
    )
    macs = count(small, 10).macs
    rule = compound(ScalingCoefficients(*coefficients))
    targets = [Target("macs", macs * 2.0**phi) for phi in range(1, 8)]
    for solution in solve_targets(small, rule, targets, 10):
        assert not solution.less
        assert min(solution.depth, solution.width, solution.resolution) >= 1 - 1e-9
        assert abs(solution.residual) <= 0.02


def test_less_than_the_baseline_is_said_with_the_next_best() -> None:
    tiny = parse_arch("r8-i1-s8-[ir_r2_k3_s1_e3_c8|ir_r2_k3_s2_e3_c16]-h32")
    target = Target("macs", count(tiny, 10).macs * 2**0.5)
    found = solve(tiny, compound(PAPER), target, 10)
    assert found.less
    assert min(found.depth, found.width, found.resolution) < 1
    assert abs(found.residual) <= 0.02
    other = found.instead
    assert other is not None
    assert min(other.depth, other.width, other.resolution) >= 1 - 1e-9
    assert abs(other.residual) > 0.02


def test_a_rule_that_says_less_gives_less() -> None:
    half = Target("macs", count(EFFICIENTNET_B0).macs / 2)
    found = solve(EFFICIENTNET_B0, find_rule("uniform"), half, 1000)
    assert not found.less
    assert found.resolution < 1
