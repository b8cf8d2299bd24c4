"""Exact budgets: what is solved costs what was asked, and is what `count` and fvcore count."""

from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from blocks.arch import format_arch, parse_arch
from blocks.cost import ArchColumns, count, referee
from blocks.network import Network
from blocks.rounding import ROUNDINGS, round_column
from search.config.schema import RunConfig
from search.errors import ConfigError
from search.space.budget import Budget
from search.space.choices import build_space
from search.space.members import SpaceCandidates
from search.space.widths import fit
from tests.search.config.test_checks import config_of

TINY = ["space=tiny"]
LARGE = ["space=efficientnet", "proxy.resolution=64"]


def candidates_of(settings: list[str], budget: Budget) -> SpaceCandidates:
    config: RunConfig = config_of(*settings)
    space = build_space(config.space, config.proxy.resolution, 3, 10, budget)
    return SpaceCandidates(space, budget, 10)


@pytest.mark.parametrize("policy", list(ROUNDINGS))
@given(st.lists(st.floats(0.1, 5000), min_size=1))
def test_columns_round_as_single_widths_do(policy: str, channels: list[float]) -> None:
    rounded = round_column(policy, np.array(channels))
    assert rounded.tolist() == [ROUNDINGS[policy](one) for one in channels]


@pytest.mark.parametrize("settings", [TINY, LARGE])
def test_columns_of_codes_are_the_networks_that_build_makes(settings: list[str]) -> None:
    candidates = candidates_of(settings, Budget("macs", 10**12))
    codes = candidates.sample(200, np.random.default_rng(1))
    columns = candidates.space.columns(codes)
    built = ArchColumns.from_archs(
        [candidates.space.build(candidates.decode(code)) for code in codes]
    )
    for field in fields(ArchColumns):
        if field.name != "skip":  # costs nothing in these blocks
            assert (getattr(columns, field.name) == getattr(built, field.name)).all(), field.name


@pytest.mark.parametrize(
    ("settings", "metric", "target"),
    [
        (TINY, "macs", 2_000_000),
        (TINY, "params", 100_000),
        (LARGE, "macs", 30_000_000),
        (LARGE, "activations", 1_500_000),
    ],
)
@pytest.mark.parametrize("solve", ["width", "width_depth"])
def test_every_candidate_is_within_the_tolerance(
    settings: list[str], metric: str, target: int, solve: str
) -> None:
    budget = Budget(metric, 1, target, 0.02, solve)
    candidates = candidates_of(settings, budget)
    generator = np.random.default_rng(2)
    codes = candidates.sample(300, generator)
    assert len(codes) == 300
    children = candidates.vary(codes, 300, generator)
    for code in [*codes[:40], *children[:40]]:
        arch, cost, excess = candidates.network(candidates.decode(code))
        assert excess <= 0
        assert cost == count(arch, 10)
        assert abs(getattr(cost, metric) / target - 1) <= 0.02
        assert parse_arch(format_arch(arch)) == arch
    for code in codes[:2]:
        arch, cost, _ = candidates.network(candidates.decode(code))
        assert referee(Network(arch, 10)) == cost


def test_nearly_every_shape_can_be_brought_to_a_target() -> None:
    budget = Budget("macs", 1, 2_000_000)
    candidates = candidates_of(TINY, Budget("macs", 10**12))
    codes = candidates.sample(2000, np.random.default_rng(3))
    solved, _ = fit(budget, candidates.space.columns(codes), 10)
    assert (budget.excess(budget.measure(solved, 10)) <= 0).mean() > 0.9


def test_width_and_depth_change_widths_less_than_width_alone() -> None:
    candidates = candidates_of(TINY, Budget("macs", 10**12))
    columns = candidates.space.columns(candidates.sample(500, np.random.default_rng(4)))
    change = {}
    for solve in ("width", "width_depth"):
        solved, _ = fit(Budget("macs", 1, 4_000_000, solve=solve), columns, 10)
        change[solve] = np.abs(np.log(solved.channels.sum(1) / columns.channels.sum(1))).mean()
    assert change["width_depth"] < change["width"]


def test_without_a_target_shapes_stay_and_the_limit_holds() -> None:
    candidates = candidates_of(TINY, Budget("macs", 2_000_000))
    for code in candidates.sample(50, np.random.default_rng(5)):
        values = candidates.decode(code)
        arch, cost, _ = candidates.network(values)
        assert arch == candidates.space.build(values)
        assert cost.macs <= 2_000_000


def test_a_target_out_of_reach_is_refused_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"budget.target=1000 macs ± 2% is out of reach.*has \d"):
        candidates_of(TINY, Budget("macs", 1, 1000))


def test_a_spelling_is_found_again() -> None:
    for budget in (Budget("macs", 10**12), Budget("macs", 1, 2_000_000)):
        candidates = candidates_of(TINY, budget)
        for code in candidates.sample(10, np.random.default_rng(6)):
            arch, _, _ = candidates.network(candidates.decode(code))
            assert candidates.network(candidates.find(arch))[0] == arch


def test_a_spelling_outside_of_the_space_or_the_budget_is_refused() -> None:
    candidates = candidates_of(TINY, Budget("macs", 2_000_000))
    code = candidates.sample(1, np.random.default_rng(7))[0]
    arch = candidates.network(candidates.decode(code))[0]
    stages = (replace(arch.stages[0], kernel=9), *arch.stages[1:])
    with pytest.raises(ConfigError, match=r"stage1.kernel=9; it has 3, 5, 7"):
        candidates.find(replace(arch, stages=stages))
    with pytest.raises(ConfigError, match="has 2 stages, the space 3"):
        candidates.find(replace(arch, stages=arch.stages[:2]))
    with pytest.raises(ConfigError, match="not in the space; the nearest is"):
        candidates.find(replace(arch, stem=24))
    free = candidates_of(TINY, Budget("macs", 10**12))
    codes = free.sample(100, np.random.default_rng(8))
    dearest = max((free.network(free.decode(code))[0] for code in codes), key=count_macs)
    with pytest.raises(ConfigError, match=r"outside of the budget \(2.00M macs\): \d+ macs"):
        candidates.find(dearest)


def test_another_network_is_not_taken_for_its_nearest_at_a_target() -> None:
    candidates = candidates_of(TINY, Budget("macs", 1, 2_000_000))
    code = candidates.sample(1, np.random.default_rng(7))[0]
    arch = candidates.network(candidates.decode(code))[0]
    assert candidates.network(candidates.find(replace(arch, stem=arch.stem + 8)))[0] == arch
    for other in (replace(arch, act="relu"), replace(arch, head=0), replace(arch, in_channels=5)):
        with pytest.raises(ConfigError, match="not in the space; the nearest is"):
            candidates.find(other)


def test_solved_depths_are_found_again() -> None:
    candidates = candidates_of(TINY, Budget("macs", 1, 2_000_000, solve="width_depth"))
    for code in candidates.sample(8, np.random.default_rng(9)):
        arch, _, _ = candidates.network(candidates.decode(code))
        assert candidates.network(candidates.find(arch))[0] == arch


def test_heads_make_up_for_half_of_their_width_at_most() -> None:
    candidates = candidates_of(TINY, Budget("macs", 1, 2_000_000))
    codes = candidates.sample(200, np.random.default_rng(10))
    columns, _ = fit(candidates.budget, candidates.space.columns(codes), 10)
    change = columns.channels.sum(1) / candidates.space.columns(codes).channels.sum(1)
    assert (columns.head / (128 * change)).max() < 2.5  # half more, and the rounding of all


def test_a_tight_budget_still_gives_as_many_as_are_asked() -> None:
    for most in (260_000, 300_000, 600_000):  # the smallest member has 225,096
        candidates = candidates_of(TINY, Budget("macs", most))
        codes = candidates.sample(40, np.random.default_rng(11))
        assert len({code.tobytes() for code in codes}) >= 30
        _, costs = fit(candidates.budget, candidates.space.columns(codes), 10)
        assert costs.macs.max() <= most


def count_macs(arch: object) -> int:
    return count(arch, 10).macs  # type: ignore[arg-type]
