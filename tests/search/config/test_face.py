"""Settings from Python are those of the command line."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hydra import compose, initialize_config_dir

from search.__main__ import HELP
from search.config.checks import CHOICES, value_of
from search.config.compose import compose_config, known_keys
from search.config.face import config_from
from search.config.listing import list_settings, written
from search.config.options import CONF, options
from search.config.schema import (
    DatasetConfig,
    ProxyConfig,
    RunConfig,
    StageConfig,
    dataset_named,
    space_named,
)
from search.errors import ConfigError
from tests.search.config.test_checks import config_of


def test_the_default_configuration_is_written_once() -> None:
    assert config_of() == RunConfig() == config_from()
    assert RunConfig().space == space_named("auto")
    assert RunConfig().dataset == dataset_named("fashion_mnist")


def test_what_help_says_of_defaults_is_so() -> None:
    found: dict[str, str] = {}
    names: list[tuple[str, str]] = []
    for line in HELP.splitlines():
        given = re.search(r"  \[([^\[\]]+)\]$", line)
        settings = line[: given.start()] if given else line
        # A default may stand in the second line of what is said of a setting.
        names = re.findall(r"^  ([a-z_]+(?:\.[a-z_]+)*)=|(?<=\S )([a-z_.]+)=", settings) or names
        if given is not None:
            both = [first or second for first, second in names]
            found |= dict(zip(both, given[1].split(" and "), strict=False))
    told = {"study", "sampler", "evaluator", "search.trials", "search.finalists", "seed",
            "workers.count", "workers.threads"}  # fmt: skip
    assert told <= found.keys()
    for name in told:
        assert found[name] == written(value_of(RunConfig(), name)), name
    assert found["space"] == "auto"


@pytest.mark.parametrize("group", ["dataset", "space"])
def test_named_options_are_those_of_the_command_line(group: str) -> None:
    for name in options(group):
        composed = config_of(f"{group}={name}")
        assert config_from(**{group: name}) == composed
        if group == "dataset":
            assert config_from(dataset={"name": name}) == composed


def test_groups_and_dotted_names() -> None:
    config = config_from(
        study="pets",
        dataset={"name": "imagefolder", "root": Path("pets")},
        budget={"target": "2M"},
        space="efficientnet",
        **{"proxy.epochs": 2, "space.head": 640, "proxy.lr": np.float64(0.5)},
    )
    assert config == config_of(
        "study=pets", "dataset=imagefolder", "dataset.root=pets", "budget.target=2M",
        "space=efficientnet", "proxy.epochs=2", "space.head=640", "proxy.lr=0.5",
    )  # fmt: skip
    proxy = ProxyConfig(epochs=9)
    assert config_from(proxy=proxy, **{"proxy.lr": 0.1}).proxy == ProxyConfig(epochs=9, lr=0.1)
    stages = [StageConfig(channels=8), {"channels": 24, "stride": 2}]
    space = config_from(space={"stages": stages}).space
    assert space.stages == [StageConfig(channels=8), StageConfig(channels=24, stride=2)]
    assert config_from(dataset=DatasetConfig("npz", "x.npz")).dataset.root == "x.npz"


@pytest.mark.parametrize("value", ["2024_05_01", "null", "a,b", "${x}", "[x]", "it's", "1e3"])
def test_text_is_text(value: str) -> None:
    assert config_from(study=value, **{"dataset.root": value}).study == value


@pytest.mark.parametrize(
    ("given", "same"),
    [
        ({"proxy": {"epoch": 3}}, "proxy.epoch=3"),
        ({"proxy.epoch": 3}, "proxy.epoch=3"),
        ({"serch.trials": 3}, "serch.trials=3"),
        ({"search": {"trials": "abc"}}, "search.trials=abc"),
        ({"search.trials": 2.5}, "search.trials=2.5"),
        ({"proxy.batch_size": None}, "proxy.batch_size=null"),
        ({"space": "tinny"}, "space=tinny"),
        ({"dataset": {"name": "fashon_mnist"}}, "dataset=fashon_mnist"),
        ({"space": {"stages": [{"chanels": 8}]}}, "space.stages=[{chanels: 8}]"),
        ({"proxy": 3}, "proxy=3"),
        ({"space.kernel": 3}, "space.kernel=3"),
    ],
)
def test_mistakes_are_told_as_on_the_command_line(given: dict[str, Any], same: str) -> None:
    with pytest.raises(ConfigError) as here:
        config_from(**given)
    with pytest.raises(ConfigError) as there:
        config_of(same)
    assert str(here.value) == str(there.value)


def test_an_empty_path_is_refused() -> None:
    for given in ({"dataset": {"root": ""}}, {"dataset.root": ""}, {"study": ""}):
        with pytest.raises(ConfigError, match="is empty"):
            config_from(**given)


def test_another_hydra_of_the_process_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text("lr: 0.1\n")
    with initialize_config_dir(str(tmp_path), version_base="1.3"):
        assert config_from(study="x").study == "x"
        assert compose_config("config", ["study=y"], RunConfig).study == "y"
        assert compose("own").lr == 0.1


def test_every_setting_is_listed_with_its_meaning() -> None:
    listed = {each.name: each for each in list_settings(RunConfig())}
    assert list(listed) == known_keys(RunConfig)
    for name, setting in listed.items():
        assert setting.meaning or name == "proxy.momentum", name
        assert value_of(RunConfig(), name) is None or setting.default
    assert CHOICES.keys() <= listed.keys()
    assert listed["dataset.on_corrupt"].meaning.startswith("refuse | skip")
    assert CONF.is_dir()
