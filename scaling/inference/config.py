"""The settings of the commands that use a trained network, with their defaults."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Final, TypeVar

from scaling.compound import ScalingError
from search.config.checks import validate_study_name
from search.config.compose import settings_of

Settings = TypeVar("Settings", bound="UseConfig")
ON_CORRUPT: Final = ("refuse", "skip")


@dataclass(frozen=True)
class UseConfig:
    """Which network, and where it runs; all commands have these."""

    study: str | None = None  # whose member is meant, instead of MODEL
    member: str = "b0"  # of the study: b0 … b7, or what else was trained
    results_dir: str = "results"
    weights: str | None = None  # of a MODEL that names none; a file, or package:NAME
    mean: list[float] | None = None  # of pixels in 0…1; null: what the network's file says
    std: list[float] | None = None
    device: str = "auto"  # auto | cpu | cuda
    batch: int | None = None  # images at a time; null: by their size
    on_corrupt: str = "refuse"  # refuse | skip: of files that cannot be read


@dataclass(frozen=True)
class PredictConfig(UseConfig):
    """`python -m scaling predict MODEL FILE|FOLDER|-`."""

    format: str = "jsonl"  # jsonl | csv
    top: int = 5  # classes that are told of each image
    threshold: float | None = None  # of several labels; null: what the network's file says
    output: str | None = None  # a file; null: the screen


@dataclass(frozen=True)
class EvaluateConfig(UseConfig):
    """`python -m scaling evaluate MODEL FOLDER`."""

    part: str = "test"  # train | val | test: of a folder of splits, or of the study's images
    labels: str = "folder"  # folder | name: where the class of an image stands
    threshold: float | None = None
    output: str | None = None  # folder of the files; null: beside the network
    draws: int = 1000  # of the images, for the intervals


@dataclass(frozen=True)
class ExplainConfig(UseConfig):
    """`python -m scaling explain MODEL FILE|FOLDER`."""

    limit: int = 12  # images, spread over those that are found
    stages: int = 3  # that are looked into, the last one of each size of maps
    steps: int = 24  # of integrated gradients
    label: str | None = None  # the class that is explained; null: the predicted one
    output: str | None = None  # folder of the files; null: beside the network


@dataclass(frozen=True)
class PublishConfig(UseConfig):
    """`python -m scaling publish MODEL`."""

    images: str | None = None  # to judge it on; null: the study's test images, where there are
    license: str = "unknown"  # of the weights, as https://spdx.org/licenses names it
    name: str | None = None  # null: the network's
    output: str | None = None  # null: results/published/NAME
    draws: int = 1000


@dataclass(frozen=True)
class EnsembleConfig(UseConfig):
    """`python -m scaling ensemble MODEL MODEL … FOLDER`."""

    members: Any = "all"  # of the study: all that are trained, or a list
    views: list[str] = field(default_factory=lambda: ["flip", "crops"])
    # what else of an image is looked at: flip | crops
    part: str = "test"
    labels: str = "folder"
    output: str | None = None  # folder of the files; null: beside the first network
    draws: int = 1000


_SETTING: Final = re.compile(r"\+*[a-z_]+(\.[a-z_]+)*=")


def read_words(schema: type[Settings], arguments: Sequence[str]) -> tuple[Settings, list[str]]:
    """The settings among the words of a command, checked, and the other words.

    Raises:
        ConfigError, ScalingError: a misspelt setting, or a value that cannot be.
    """
    named = [word for word in arguments if _SETTING.match(word)]
    words = [word for word in arguments if not _SETTING.match(word)]
    for word in words:
        if word.startswith("--"):
            raise ScalingError(f"{word} is not a setting; settings are written name=value")
    config: Settings = settings_of(named, schema)
    check(config)
    return config, words


def make_config(schema: type[Settings], **given: Any) -> Settings:
    """The same of keywords.

    Raises:
        ConfigError, ScalingError: as `read_words`.
    """
    known = {each.name for each in fields(schema)}
    for name in given:
        if name not in known:
            raise ScalingError(f"unknown setting {name!r}; expected {', '.join(sorted(known))}")
    config = replace(schema(), **given)
    check(config)
    return config


_CHOICES: Final = {
    "device": ("auto", "cpu", "cuda"),
    "on_corrupt": ON_CORRUPT,
    "format": ("jsonl", "csv"),
    "part": ("test", "val", "train"),
    "labels": ("folder", "name"),
}
_LEAST: Final = {"batch": 1, "top": 1, "limit": 1, "stages": 1, "steps": 2, "draws": 20}


def check(config: UseConfig) -> None:
    """Refuse values that cannot be.

    Raises:
        ScalingError: names the setting, its value and what was expected.
    """
    if config.study is not None:
        validate_study_name(config.study)
    if "/" in config.member or config.member.startswith("."):
        raise ScalingError(f"member={config.member} is no name of a member; expected b0, b1, …")
    for name, choices in _CHOICES.items():
        value = getattr(config, name, None)
        if value is not None and value not in choices:
            raise ScalingError(f"{name}={value} is unknown; expected {' or '.join(choices)}")
    for name, least in _LEAST.items():
        value = getattr(config, name, None)
        if value is not None and value < least:
            raise ScalingError(f"{name}={value} is too few; expected {least} or more")
    threshold = getattr(config, "threshold", None)
    if threshold is not None and not 0 < threshold < 1:
        raise ScalingError(f"threshold={threshold} is not a probability between 0 and 1")
    for view in getattr(config, "views", []):
        if view not in ("flip", "crops"):
            raise ScalingError(f"views={view} is unknown; expected flip or crops")
    if (config.mean is None) != (config.std is None):
        raise ScalingError(f"mean={config.mean} and std={config.std}: expected both, or neither")
