"""Rules: what they give at 1, the papers' own numbers, and what is refused."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blocks.zoo import EFFICIENTNET_SCALING
from scaling.compound import PAPER, ScalingCoefficients, ScalingError
from scaling.rule_kinds import compound, fast, free
from scaling.rules import RULES, TINYNET, find_rule


@pytest.mark.parametrize("name", RULES)
@given(ratio=st.floats(0.01, 1000))
def test_a_rule_has_the_nominal_cost_asked_for(name: str, ratio: float) -> None:
    rule = RULES[name]
    assert rule.name == name
    at = rule.at(ratio)
    assert at.depth * at.width**2 * at.resolution**2 == pytest.approx(ratio)
    one = rule.at(1.0)
    assert (one.depth, one.width, one.resolution, one.late_depth) == (1, 1, 1, 1)


def test_compound_is_the_papers_triple() -> None:
    at = compound(PAPER).at(PAPER.nominal_cost**3)
    assert (at.depth, at.width, at.resolution) == pytest.approx((1.2**3, 1.1**3, 1.15**3))
    assert RULES["compound"] == compound(PAPER)


def test_published_passes_through_every_row_and_halfway_between() -> None:
    rows = list(EFFICIENTNET_SCALING.values())
    for row in rows:
        side = row.resolution / 224
        at = RULES["published"].at(row.depth * row.width**2 * side**2)
        assert (at.depth, at.width, at.resolution) == pytest.approx((row.depth, row.width, side))
    # B3 and B4: 1.2, 1.4, 300 and 1.4, 1.8, 380; the middle in logs.
    costs = [row.depth * row.width**2 * (row.resolution / 224) ** 2 for row in rows[3:5]]
    at = RULES["published"].at(math.sqrt(costs[0] * costs[1]))
    assert at.width == pytest.approx(math.sqrt(1.2 * 1.4))
    assert at.resolution == pytest.approx(math.sqrt(300 * 380) / 224)


def test_fast_scaling_as_the_paper_prints_it() -> None:
    # Dollár et al.: dWr at four times the cost.
    at = RULES["dwr"].at(4)
    assert (at.depth, at.width, at.resolution) == pytest.approx((1.149, 1.741, 1.072), abs=5e-4)
    third = RULES["uniform"].at(8)
    assert (third.depth, third.width, third.resolution) == pytest.approx((2, 2**0.5, 2**0.5))
    assert fast(1.0).at(4).width == 2
    assert find_rule("fast:0.8").at(4) == at


def test_tinynet_is_near_its_own_members() -> None:
    for width, depth, side in TINYNET:
        at = RULES["tinynet"].at(depth * width**2 * (side / 224) ** 2)
        # Lines through the origin leave E's side 20% out: the paper's own curve bends.
        assert at.width == pytest.approx(width, rel=0.25)
        assert at.depth == pytest.approx(depth, rel=0.25)
        assert at.resolution * 224 == pytest.approx(side, rel=0.25)


def test_efficientnetv2_adds_most_depth_at_the_end() -> None:
    # S → L: 16 blocks become 28 early and 24 become 51 late, 384 pixels 480.
    rule = RULES["efficientnetv2"]
    ratios = [rule.at(2.0**k) for k in range(1, 20)]
    step = next(at for at in ratios if at.resolution > 1.05)
    early, late, side = (math.log(v) for v in (step.depth, step.late_depth, step.resolution))
    assert early / side == pytest.approx(math.log(28 / 16) / math.log(480 / 384))
    assert (early + late) / side == pytest.approx(math.log(51 / 24) / math.log(480 / 384))


def test_free_exponents_matter_by_their_proportions() -> None:
    assert free(2, 1, 1).at(9) == free(4, 2, 2).at(9)
    # 2 + 2·1 + 2·1 = 6: d = 64^(1/3), w = r = 64^(1/6)
    at = find_rule("free:2:1:1").at(64)
    assert (at.depth, at.width, at.resolution) == pytest.approx((4, 2, 2))


@pytest.mark.parametrize("ratio", [0.0, -1.0, math.nan, math.inf])
def test_a_ratio_that_is_none_is_refused(ratio: float) -> None:
    for rule in RULES.values():
        with pytest.raises(ScalingError, match="cost ratio"):
            rule.at(ratio)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("dwrr", "did you mean 'dwr'"),
        ("fast", "fast:ALPHA"),
        ("fast:x", "rule=fast:x is unknown"),
        ("fast:2", "not between 0 and 1"),
        ("fast:nan", "not between 0 and 1"),
        ("free:1:2", "rule=free:1:2 is unknown"),
        ("free:0:0:0", "all 0"),
        ("free:-1:1:1", "depth=-1.0"),
        ("free:inf:1:1", "depth=inf"),
    ],
)
def test_rules_that_do_not_exist(text: str, message: str) -> None:
    with pytest.raises(ScalingError, match=message):
        find_rule(text)


def test_coefficients_of_one_are_no_rule() -> None:
    with pytest.raises(ScalingError, match="grows nothing"):
        compound(ScalingCoefficients(1, 1, 1))
