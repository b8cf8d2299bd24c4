"""Frozen settings with some of them changed."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, TypeVar

Config = TypeVar("Config")


def changed(config: Config, values: Mapping[str, Any]) -> Config:
    """`config` with the settings of these dotted names changed: `{"proxy.epochs": 2}`.

    Raises:
        AttributeError, TypeError: there is no such setting.
    """
    for name, value in values.items():
        group, dot, rest = name.partition(".")
        inner = changed(getattr(config, group), {rest: value}) if dot else value
        config = replace(config, **{group: inner})  # type: ignore[type-var]
    return config
