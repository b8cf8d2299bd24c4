"""Scaling: the published table, the formula, the grid, and what is refused."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blocks.arch import ArchSpec, parse_arch
from blocks.cost import count
from blocks.zoo import EFFICIENTNET_B0, ZOO
from scaling.compound import PAPER, ScalingCoefficients, ScalingError, scale, scale_compound
from scaling.config import GridConfig
from scaling.family.member import compound_family, published_family
from scaling.fitting.grid import grid_candidates
from scaling.fitting.grid_judgement import count_tied, grid_table, judge_grid
from search.record.trials import TrialRecord
from tests.strategies import archs

TINY = parse_arch("r28-i1-s16-[ds_r1_k3_s1_e1_c16|ir_r2_k3_s2_e4_c32|ir_r3_k5_s2_e6_c64]-h128")


def test_the_published_table_is_reproduced_exactly() -> None:
    members = published_family(EFFICIENTNET_B0)
    assert [member.arch for member in members] == [ZOO[f"efficientnet_b{k}"] for k in range(8)]
    assert [member.dropout for member in members] == [0.2, 0.2, 0.3, 0.3, 0.4, 0.4, 0.5, 0.5]


def test_a_rounding_policy_reaches_every_width() -> None:
    wide = scale(EFFICIENTNET_B0, 1.0, 1.4, 224, "floor")
    assert (wide.stem, wide.stages[1].channels, wide.head) == (44, 33, 1792)
    assert scale(EFFICIENTNET_B0, 1.0, 1.4, 224, "floor8").stem == 40


def test_what_is_not_there_stays_away() -> None:
    wide = scale(ZOO["resnet50"], 1.0, 1.5, 224)
    assert (wide.head, wide.head_hidden) == (0, 0)
    assert scale(ZOO["mobilenetv3_small"], 1.0, 1.5, 224).head_hidden == 1536


def test_the_formula_is_not_the_table() -> None:
    # reference: the pure formula's B1 is 258 px and 0.993 G, the published B1 0.687 G.
    b1 = scale_compound(EFFICIENTNET_B0, PAPER, 1)
    assert b1.resolution == 258
    assert count(b1).macs / 1e9 == pytest.approx(0.993, abs=0.001)
    b7 = compound_family(EFFICIENTNET_B0, PAPER, 8)[7].arch
    assert b7.resolution == 596
    assert count(b7).macs / 1e9 == pytest.approx(39.66, abs=0.01)
    assert count(b7).params / 1e6 == pytest.approx(68.7, abs=0.05)


@given(archs())
def test_phi_zero_is_the_baseline(arch: ArchSpec) -> None:
    assert scale_compound(arch, PAPER, 0) is arch


@given(archs(), st.floats(1, 2), st.floats(1, 2), st.floats(1, 2), st.integers(0, 4))
def test_members_never_shrink(
    arch: ArchSpec, alpha: float, beta: float, gamma: float, phi: int
) -> None:
    coefficients = ScalingCoefficients(alpha, beta, gamma)
    start = scale(arch, 1, 1, arch.resolution)  # channels on multiples of 8
    small, large = (scale_compound(start, coefficients, p) for p in (phi, phi + 1))
    assert count(large).macs >= count(small).macs
    assert all(
        b.channels >= a.channels and b.repeats >= a.repeats
        for a, b in zip(small.stages, large.stages, strict=True)
    )


def test_the_nominal_doubling_of_the_paper() -> None:
    assert PAPER.nominal_cost == pytest.approx(1.92027)
    b1 = scale_compound(EFFICIENTNET_B0, PAPER, 1)
    assert count(b1).macs / count(EFFICIENTNET_B0).macs == pytest.approx(2.57, abs=0.005)


@pytest.mark.parametrize("bad", [0.99, 0.0, -1.0, math.nan, math.inf])
def test_coefficients_below_one_or_not_finite_are_refused(bad: float) -> None:
    for place in range(3):
        triple = [1.2, 1.1, 1.15]
        triple[place] = bad
        with pytest.raises(ScalingError, match=r"(alpha|beta|gamma)="):
            ScalingCoefficients(*triple)


def test_the_grid_meets_its_constraint_and_misses_nothing() -> None:
    grid = GridConfig(step=0.05, tolerance=0.1)
    found = {
        (c.coefficients.alpha, c.coefficients.beta, c.coefficients.gamma)
        for c in grid_candidates(TINY, grid)
    }
    brute = {
        (1 + a / 20, 1 + b / 20, 1 + c / 20)
        for a in range(40)
        for b in range(20)
        for c in range(20)
        if abs((1 + a / 20) * (1 + b / 20) ** 2 * (1 + c / 20) ** 2 - 2) <= 0.1 + 1e-9
    }
    assert {tuple(round(x, 9) for x in point) for point in brute} == found
    assert (1.2, 1.1, 1.15) in found


def test_a_grid_without_points_is_refused() -> None:
    with pytest.raises(ScalingError, match=r"no point of grid\.step=0\.7"):
        grid_candidates(TINY, GridConfig(step=0.7, tolerance=0.01))


def test_the_best_accuracy_wins_and_equals_are_decided_by_cost() -> None:
    candidates = grid_candidates(TINY, GridConfig())
    records = {}
    for number, candidate in enumerate(candidates):
        spelling = str(candidate.arch)
        cost = count(candidate.arch, 10)
        metrics = {"val_accuracy": 0.9 if number % 2 else 0.8, "val_loss": 1.0}
        records[spelling] = TrialRecord(number, spelling, cost, metrics, 0, {"epochs": 1}, {}, {})
    table = grid_table(candidates, list(records.values()), TINY, 10, 2.0)
    assert len(table) == len(candidates)
    best = [r for r in records.values() if r.metrics["val_accuracy"] == 0.9]
    assert table.iloc[0]["macs"] == min(record.cost.macs for record in best)
    assert table.iloc[0]["macs_ratio"] == table.iloc[0]["macs"] / count(TINY, 10).macs
    # 0.1 apart with 1000 images is no accident; with 10 images it is.
    assert count_tied(table, 1000) == len(best)
    assert count_tied(table, 10) == len(records)


def test_the_grid_on_counted_cost_holds_what_really_costs_that() -> None:
    grid = GridConfig(step=0.05, tolerance=0.1, constraint="counted")
    base = count(EFFICIENTNET_B0).macs
    found = grid_candidates(EFFICIENTNET_B0, grid)
    assert found
    assert all(abs(count(each.arch).macs / base - 2) <= 0.1 for each in found)
    nominal = grid_candidates(EFFICIENTNET_B0, GridConfig(step=0.05, tolerance=0.1))
    ratios = [count(each.arch).macs / base for each in nominal]
    # Reference: a nominal doubling costs 1.93 to 3.33 times B0.
    assert (min(ratios), max(ratios)) == pytest.approx((1.93, 3.33), abs=0.005)


def test_a_grid_is_judged_by_the_error_of_its_images() -> None:
    candidates = grid_candidates(TINY, GridConfig())
    best = next(c for c in candidates if c.coefficients.beta == c.coefficients.gamma == 1)
    records = [
        TrialRecord(
            0, str(c.arch), count(c.arch, 10), {"val_accuracy": accuracy, "val_loss": 1.0},
            0, {}, {}, {},
        )
        for c in {str(c.arch): c for c in candidates}.values()
        for accuracy in [0.9 if str(c.arch) == str(best.arch) else 0.8]
    ]  # fmt: skip
    table = grid_table(candidates, records, TINY, 10, 2.0)
    sure, unsure = judge_grid(table, 100_000, 0), judge_grid(table, 20, 0)
    assert sure.versus["width"].probability == 1
    assert not sure.versus["width"].indistinguishable
    assert sure.versus["depth"].difference == 0
    assert sure.intervals["alpha"] == (table.iloc[0]["alpha"],) * 2
    assert unsure.versus["width"].indistinguishable
    assert unsure.alike > sure.alike
