"""The search space: members, the cheapest corner, impossible spaces."""

import random
from dataclasses import replace

import numpy as np
import pytest

from blocks.arch import parse_arch
from blocks.arch.walk import walk
from blocks.cost import count
from search.config.schema import RunConfig, SpaceConfig, StageConfig
from search.errors import ConfigError
from search.space.budget import Budget, cost_budget
from search.space.choices import SearchSpace, build_space
from search.space.members import SpaceCandidates, draw_members
from tests.search.config.test_checks import config_of


def space_of(config: RunConfig, max_macs: int = 10**12) -> SearchSpace:
    return build_space(config.space, config.proxy.resolution, 3, 10, Budget("macs", max_macs))


def random_member(space: SearchSpace, draw: random.Random) -> dict[str, object]:
    return {name: draw.choice(options) for name, options in space.choices.items()}


@pytest.mark.parametrize("name", ["tiny", "efficientnet", "auto"])
def test_the_smallest_member_is_the_smallest(name: str) -> None:
    space = space_of(config_of(f"space={name}"))
    least = count(space.smallest(), 10).macs
    draw = random.Random(0)
    costs = [count(space.build(random_member(space, draw)), 10).macs for _ in range(500)]
    assert least <= min(costs)
    assert space.smallest().resolution == 28


def test_the_paper_space_holds_b0() -> None:
    space = space_of(config_of("space=efficientnet", "proxy.resolution=224"))
    rows = [(1, 3, 1), (2, 3, 6), (2, 5, 6), (3, 3, 6), (3, 5, 6), (4, 5, 6), (1, 3, 6)]
    values: dict[str, object] = {"resolution": 224}
    for stage, (repeats, kernel, expand_ratio) in enumerate(rows, 1):
        values |= {
            f"stage{stage}.repeats": repeats,
            f"stage{stage}.kernel": kernel,
            f"stage{stage}.expand_ratio": expand_ratio,
            f"stage{stage}.se_ratio": 0.25,
            f"stage{stage}.width": 1.0,
            f"stage{stage}.skip": True,
        }
    assert all(value in space.choices[name] for name, value in values.items())
    assert count(space.build(values)).macs == 385_814_752


def test_a_stage_may_have_its_own_choices_and_resolution_may_vary() -> None:
    config = SpaceConfig(
        stages=[StageConfig(channels=8, kernel=[9]), StageConfig(channels=16, stride=2)],
        kernel=[3],
        resolution=[16, 24],
    )
    space = build_space(config, 28, 1, 10, Budget("macs", 10**9))
    assert space.choices["stage1.kernel"] == (9,)
    assert space.choices["stage2.kernel"] == (3,)
    assert space.choices["resolution"] == (16, 24)
    assert len(space) == 2 * (4 * 2) ** 2
    assert space.smallest().in_channels == 1


def test_a_budget_nothing_can_meet_names_the_smallest_cost() -> None:
    config = config_of("space=tiny")
    least = count(space_of(config).smallest(), 10).macs
    with pytest.raises(ConfigError, match=f"the smallest has {least} macs"):
        space_of(config, max_macs=least - 1)
    space_of(config, max_macs=least)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("space.kernel=[4]", "space.kernel: kernel 4 is even"),
        ("space.kernel=[]", "space.kernel is empty"),
        ("space.kernel=[3,3]", "space.kernel=.* holds a choice twice"),
        ("space.expand_ratio=[0]", "space.expand_ratio: expand_ratio 0"),
        ("space.se_ratio=[2.0]", "space.se_ratio: se_ratio 2"),
        ("space.width=[-1.0]", "space.width=-1"),
        ("space.stages=[{repeats: [0]}]", "every stage may have 0 repeats"),
        ("space.stages=[{repeats: [-1]}]", r"space.stages \(stage 1\) repeats: repeats -1"),
        ("space.strides=[2-1]", r"space.strides=2-1 is not the stride, 1 or 2, of the stem"),
        ("space.strides=[2-1-3-1]", "space.strides=2-1-3-1 is not .* expected for example 2-2-2-2"),
        ("space.strides=[x]", "space.strides=x is not"),
        ("space.strides=[]", "space.strides is empty"),
        ("space.stem_width=[0.0]", "space.stem_width=0.0 is not a positive number"),
        ("space.head_width=[]", "space.head_width is empty"),
        ("space.stages=[{channels: -5}]", r"space.stages \(stage 1\) channels=-5"),
        ("space.stages=[{stride: 3}]", "space: stride 3"),
        ("space.stem=0", "space: stem 0"),
        ("space.act=swish", "space: unknown act 'swish'"),
    ],
)
def test_impossible_spaces_are_refused(override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        space_of(config_of("space=tiny", override))


def test_a_shortcut_that_cannot_exist_has_one_spelling() -> None:
    space = space_of(config_of("space=tiny"))
    values = {name: options[0] for name, options in space.choices.items()}
    for repeats, width in ((1, 0.5), (1, 1.0), (2, 0.5)):
        values |= {"stage1.repeats": repeats, "stage1.width": width}
        spellings = {str(space.build({**values, "stage1.skip": skip})) for skip in (True, False)}
        # 16 stem channels: one block of 8 has no shortcut to drop, the others have.
        assert len(spellings) == (1 if (repeats, width) == (1, 0.5) else 2)


@pytest.mark.parametrize("pixels", [28, 32, 48, 64, 96, 128, 224, "48x96", "100x33"])
def test_the_automatic_space_leaves_a_last_map_of_4_to_8_pixels(
    pixels: int | str,
) -> None:
    space = space_of(config_of("space=auto", f"proxy.resolution={pixels}"))
    draw = random.Random(0)
    for _ in range(100):
        side = [block.out_map.shorter for block in walk(space.build(random_member(space, draw)))][
            -1
        ]
        assert 4 <= side <= 8


def test_columns_are_the_networks_that_are_built() -> None:
    space = space_of(config_of("space=auto", "proxy.resolution=32x50", "space.resolution=[32,40]"))
    draw = random.Random(1)
    members = [random_member(space, draw) for _ in range(200)]
    codes = np.array([[space.choices[n].index(v) for n, v in m.items()] for m in members])
    counted = space.columns(codes).count(10)
    for row, values in enumerate(members):
        assert counted[row] == count(space.build(values), 10)


def test_a_stage_that_is_left_out_passes_its_stride_on() -> None:
    stages = [StageConfig(repeats=[0, 1]), StageConfig(repeats=[0, 1]), StageConfig(repeats=[0, 1])]
    config = SpaceConfig(stages=[*stages, StageConfig()], strides=["1-1-2-2-1", "1-1-1-1-2"])
    space = build_space(config, 32, 3, 10, Budget("macs", 10**12))

    def strides(pattern: str, *kept: int) -> list[int]:
        values: dict[str, object] = {name: options[0] for name, options in space.choices.items()}
        values |= {f"stage{number}.repeats": int(number in kept) for number in (1, 2, 3)}
        return [stage.stride for stage in space.build(values | {"strides": pattern}).stages]

    assert strides("1-1-2-2-1", 1, 2, 3) == [1, 2, 2, 1]
    assert strides("1-1-2-2-1", 1, 2) == [1, 2, 2]  # the third's goes to the next
    assert strides("1-1-2-2-1", 1) == [2, 2]  # of two, the one that no later stage takes goes back
    assert strides("1-1-1-1-2", 3) == [1, 2]


def test_a_member_of_a_wide_space_is_found_again() -> None:
    config = config_of("space=auto", "proxy.resolution=32", "budget.target=2M")
    budget = cost_budget(config)
    candidates = SpaceCandidates(build_space(config.space, 32, 3, 10, budget), budget, 10)
    for spelling in draw_members(candidates, 10, seed=0):
        arch = parse_arch(spelling)
        assert candidates.network(candidates.find(arch))[0] == arch
    stages = tuple(replace(stage, stride=1) for stage in arch.stages)
    with pytest.raises(ConfigError, match="no member halves the map where it does"):
        candidates.find(replace(arch, stem_stride=1, stages=stages))
    with pytest.raises(ConfigError, match=r"has 6 stages, the space 5"):
        candidates.find(replace(arch, stages=(arch.stages[0],) * 6))
