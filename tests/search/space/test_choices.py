"""The search space: members, the cheapest corner, impossible spaces."""

import random

import pytest

from blocks.cost import count
from search.config.schema import RunConfig, SpaceConfig, StageConfig
from search.errors import ConfigError
from search.space.budget import Budget
from search.space.choices import SearchSpace, build_space
from tests.search.config.test_checks import config_of


def space_of(config: RunConfig, max_macs: int = 10**12) -> SearchSpace:
    return build_space(config.space, config.proxy.resolution, 3, 10, Budget("macs", max_macs))


def random_member(space: SearchSpace, draw: random.Random) -> dict[str, object]:
    return {name: draw.choice(options) for name, options in space.choices.items()}


@pytest.mark.parametrize("name", ["tiny", "efficientnet"])
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
    config = config_of()
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
        ("space.stages=[]", "space.stages is empty"),
        ("space.stages=[{repeats: [0]}]", r"space.stages \(stage 1\) repeats: repeats 0"),
        ("space.stages=[{channels: -5}]", r"space.stages \(stage 1\) channels=-5"),
        ("space.stages=[{stride: 3}]", "space: stride 3"),
        ("space.stem=0", "space: stem 0"),
        ("space.act=swish", "space: unknown act 'swish'"),
    ],
)
def test_impossible_spaces_are_refused(override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        space_of(config_of(override))


def test_a_shortcut_that_cannot_exist_has_one_spelling() -> None:
    space = space_of(config_of())
    values = {name: options[0] for name, options in space.choices.items()}
    for repeats, width in ((1, 0.5), (1, 1.0), (2, 0.5)):
        values |= {"stage1.repeats": repeats, "stage1.width": width}
        spellings = {str(space.build({**values, "stage1.skip": skip})) for skip in (True, False)}
        # 16 stem channels: one block of 8 has no shortcut to drop, the others have.
        assert len(spellings) == (1 if (repeats, width) == (1, 0.5) else 2)
