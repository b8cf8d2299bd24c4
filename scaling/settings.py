"""Where settings come from: a command line, or the keywords of a Python call."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, fields, is_dataclass
from os import PathLike, fspath
from typing import Any, get_type_hints

from blocks.names import did_you_mean
from scaling.checks import validate
from scaling.compound import ScalingCoefficients
from scaling.config import ScalingConfig
from search.config.build import build
from search.config.compose import compose_config, register_schema
from search.errors import ConfigError

register_schema("scaling_schema", ScalingConfig)


def read_settings(overrides: Sequence[str]) -> ScalingConfig:
    """`fit.points=24 study=main` as settings, checked.

    Raises:
        ConfigError, ScalingError: a misspelt setting, or a value that cannot be.
    """
    config: ScalingConfig = compose_config("scaling", overrides, ScalingConfig)
    validate(config)
    return config


def make_settings(
    given: Mapping[str, Any], own: Collection[str], groups: Sequence[str] = ()
) -> ScalingConfig:
    """Keywords of a call as settings, checked like those of a command line.

    `own` names the settings outside all groups that the call takes. A group comes as a whole,
    `fit={"points": 24}`, or flat, `points=24`, which is of the first of `groups` that has it.

    Raises:
        ConfigError, ScalingError: as `read_settings`.
    """
    schema = get_type_hints(ScalingConfig)
    settings = {group: [each.name for each in fields(schema[group])] for group in groups}
    known = [*own, *(f"{group}.{name}" for group in groups for name in settings[group])]
    tree: dict[str, Any] = {}
    for name, value in given.items():
        home = next((group for group in groups if name in settings[group]), None)
        if name in groups:
            for inner, one in _mapping(name, value).items():
                if inner not in settings[name]:
                    raise _unknown(f"{name}.{inner}", known)
                tree.setdefault(name, {})[inner] = _plain(one)
        elif home is not None:
            tree.setdefault(home, {})[name] = _plain(value)
        elif name in own:
            tree[name] = _plain(value)
        else:
            raise _unknown(name, known)
    config = build(ScalingConfig, tree)
    validate(config)
    return config


def _mapping(name: str, value: Any) -> Mapping[str, Any]:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if not isinstance(value, Mapping):
        raise ConfigError(f"{name}={value!r} is not a group of settings; expected a mapping")
    return value


def _unknown(name: str, known: Sequence[str]) -> ConfigError:
    last = [each for each in known if each.rpartition(".")[2] == name.rpartition(".")[2]]
    near = f" (did you mean {last[0]!r}?)" if last else did_you_mean(name, known)
    return ConfigError(f"unknown setting {name!r}{near}")


def _plain(value: Any) -> Any:
    """What YAML could say: lists for tuples and triples, text for paths."""
    if isinstance(value, ScalingCoefficients):
        return [value.alpha, value.beta, value.gamma]
    if isinstance(value, PathLike):
        return fspath(value)
    if hasattr(value, "tolist"):  # NumPy's numbers and arrays
        return value.tolist()
    if isinstance(value, tuple | list | range):
        return [_plain(each) for each in value]
    return value
