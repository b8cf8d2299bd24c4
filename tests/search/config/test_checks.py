"""Settings: what they mean, and how wrong ones are refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.commands.sweep import job_study
from search.config.arguments import quote
from search.config.checks import validate, validate_study_name
from search.config.compose import compose_config, expand_sweep, known_keys
from search.config.quantities import parse_quantity
from search.config.schema import RunConfig
from search.data.datasets import DATASETS
from search.errors import ConfigError
from search.samplers import SAMPLERS


def config_of(*overrides: str) -> RunConfig:
    config = compose_config("config", overrides, RunConfig)
    assert isinstance(config, RunConfig)
    return config


def test_quantities() -> None:
    spelt = {"25M": 25_000_000, "0.4G": 400_000_000, "600k": 600_000, "1e6": 1_000_000}
    for text, number in {**spelt, "2_000": 2000, "7": 7}.items():
        assert parse_quantity("x", text) == number
    assert parse_quantity("x", 12.0) == 12


@given(st.integers(1, 10**15))
def test_whole_numbers_are_quantities(number: int) -> None:
    assert parse_quantity("x", number) == number


@pytest.mark.parametrize("value", ["", "M", "-1", "0", "nan", "inf", None, True, "1 M", "1T"])
def test_other_things_are_not(value: object) -> None:
    with pytest.raises(ConfigError, match="x="):
        parse_quantity("x", value)


def test_yaml_and_dataclass_defaults_agree() -> None:
    assert config_of() == RunConfig()


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("search.trals=3", r"unknown setting 'search.trals' \(did you mean 'search.trials'\?\)"),
        ("serch.trials=3", r"unknown setting 'serch.trials' \(did you mean 'search.trials'\?\)"),
        ("root=/x", r"unknown setting 'root' \(did you mean 'dataset.root'\?\)"),
        ("search.trials=abc", "search.trials=abc: Value 'abc' .* could not be converted"),
        ("dataset=fashon", "dataset=fashon is unknown; .* 'fashion_mnist'"),
        ("space=tinny", "space=tinny is unknown; .*did you mean 'tiny'"),
        ("space.stages=[{chanels: 8}]", "chanels"),
        ("seed=[", r"'seed=\[' cannot be read"),
    ],
)
def test_misspelt_settings_name_the_nearest(override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        config_of(override)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("sampler=tpee", "sampler=tpee is unknown; .*did you mean 'tpe'"),
        ("objective=paretto", "did you mean 'pareto'"),
        ("search.metric=f1", "search.metric=f1 is unknown; .*macro_f1"),
        ("proxy.class_weights=true", "proxy.class_weights=true is unknown; .*balanced"),
        ("proxy.optimizer=adam", "proxy.optimizer=adam is unknown; .*did you mean 'adamw'"),
        ("dataset.on_corrupt=ignore", "dataset.on_corrupt=ignore is unknown"),
        ("search.trials=0", "search.trials=0 is too small; expected 1"),
        ("workers.count=-1", "workers.count=-1 is too small"),
        ("proxy.batch_size=1", "proxy.batch_size=1 is too small; expected 2"),
        ("proxy.lr=nan", "proxy.lr=nan"),
        ("proxy.label_smoothing=1", "proxy.label_smoothing=1"),
        ("proxy.weight_decay=-1", "proxy.weight_decay=-1"),
        ("proxy.cutout=-1", "proxy.cutout=-1 is too small; expected 0"),
        ("proxy.mixup=-0.2", "proxy.mixup=-0.2 is not a number of 0 or more"),
        ("proxy.cutmix=inf", "proxy.cutmix=inf is not a number of 0 or more"),
        ("proxy.rand_augment=11", "proxy.rand_augment=11.0 is not a magnitude; expected 0 to 10"),
        ("proxy.precision=fp16", "proxy.precision=fp16 is unknown"),
        ("proxy.start_resolution=0", "proxy.start_resolution=0.0 is not a share"),
        ("workers.device=tpu", "workers.device=tpu is unknown"),
        ("dataset.val_fraction=0", "dataset.val_fraction=0"),
        ("dataset.test_fraction=0", "dataset.test_fraction=0"),
        ("dataset.val_fraction=0.9", "leave no images to train on"),
        ("reward.exponent=0.07", "reward.exponent=0.07 rewards cost"),
        ("budget.max_macs=lots", "budget.max_macs=lots is not a quantity"),
        ("search.references=[efficientnet_b99]", "search.references: unknown network"),
        ("search.references=[tinynet_c,tinynet_c]", "holds a network twice"),
        ("study=../elsewhere", "study=../elsewhere is not a folder name"),
    ],
)
def test_values_are_checked(override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        validate(config_of(override), list(SAMPLERS), list(DATASETS))


@pytest.mark.parametrize("wide", ["space=auto", "space.strides=[2-1-2-2,1-1-2-2]"])
@pytest.mark.parametrize("user", ["evaluator=supernet", "fidelity.supernet=true"])
def test_a_supernet_of_members_that_are_no_slices_is_refused(wide: str, user: str) -> None:
    config = config_of(wide, user, "objective=loss")
    with pytest.raises(ConfigError, match="a supernet needs a space whose members all have"):
        validate(config, list(SAMPLERS), list(DATASETS))


def test_sweeps_expand_to_every_combination() -> None:
    jobs, fixed = expand_sweep(["sampler=tpe,nsga2", "seed=0,1", "search.trials=3"])
    assert len(jobs) == 4
    assert ["sampler=nsga2", "seed=1", "search.trials=3"] in jobs
    assert fixed == ["search.trials"]


@pytest.mark.parametrize("value", ["plain", "a b", "it's", "a,b=c", "back\\slash", "[x]", "null"])
def test_quoted_values_survive_the_override_grammar(value: str) -> None:
    assert config_of(f"study={quote(value)}").study == value


@pytest.mark.parametrize("override", ["space=glob(*)", "proxy.lr=interval(0,1)", "seed=["])
def test_what_cannot_be_swept_is_refused(override: str) -> None:
    with pytest.raises(ConfigError):
        expand_sweep([override])


def test_a_swept_list_makes_a_folder_name() -> None:
    study = job_study("main", "space.kernel-[3,5]_dataset.root-/a/b")
    validate_study_name(study)
    assert study == "main_space.kernel--3,5-_dataset.root--a-b"


def test_known_keys_are_all_leaves() -> None:
    keys = known_keys(RunConfig)
    assert "proxy.lr" in keys
    assert "dataset.root" in keys
    assert "proxy" not in keys


@pytest.mark.parametrize(
    ("overrides", "target", "aim", "pruner"),
    [
        ([], "1M", "loss", "asha"),
        (["budget.target=300k"], "300k", "loss", "asha"),
        (["budget.max_macs=2M"], None, "pareto", "none"),
        (["objective=pareto"], None, "pareto", "none"),
        (["budget.max_macs=2M", "objective=reward"], None, "reward", "asha"),
        (["proxy.epochs=1"], "1M", "loss", "none"),
        (["evaluator=supernet"], "1M", "loss", "none"),
    ],
)
def test_defaults_follow_what_is_given(
    overrides: list[str], target: str | None, aim: str, pruner: str
) -> None:
    config = config_of(*overrides)
    assert (config.target, config.aim, config.pruner) == (target, aim, pruner)


def test_the_final_round_has_its_part_of_the_time() -> None:
    assert config_of("search.minutes=10").trial_minutes == 6
    assert config_of("search.minutes=10", "search.finalists=1").trial_minutes == 10
    assert config_of().trial_minutes is None
