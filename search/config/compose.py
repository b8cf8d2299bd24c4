"""What both command lines share: Hydra configuration with one-line errors."""

import itertools
import re
from collections.abc import Sequence
from dataclasses import is_dataclass
from typing import Any, get_type_hints

import yaml
from hydra import compose, initialize_config_module
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob
from hydra.errors import HydraException, MissingConfigException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

from blocks.errors import one_line
from search.config.arguments import read_command as read_command
from search.config.editable import editable
from search.config.schema import RunConfig
from search.errors import ConfigError, did_you_mean


def register_schema(name: str, schema: type[Any]) -> None:
    """Make a dataclass the type that a YAML file's `defaults` names."""
    ConfigStore.instance().store(name=name, node=editable(schema))


register_schema("run_schema", RunConfig)


def compose_config(config_name: str, overrides: Sequence[str], schema: type[Any]) -> Any:
    """The checked configuration object of `conf/<config_name>.yaml` with overrides.

    Raises:
        ConfigError: a misspelt key or value, a wrong type, a missing value.
    """
    try:
        with initialize_config_module("conf", version_base="1.3"):
            config = compose(config_name, list(overrides))
        return to_object(config)
    except (HydraException, OmegaConfBaseException, yaml.YAMLError) as error:
        raise ConfigError(_explain(error, overrides, schema)) from None


def to_object(config: DictConfig) -> Any:
    """The dataclass behind a DictConfig: where Hydra's types stop.

    Raises:
        ConfigError: a mandatory value is missing.
    """
    try:
        return OmegaConf.to_object(config)
    except MissingMandatoryValue as error:
        raise ConfigError(f"{_field(error)} is missing; give it as {_field(error)}=…") from None


def expand_sweep(overrides: Sequence[str]) -> tuple[list[list[str]], list[str]]:
    """The override lists of every job of a multirun, and the keys that are not swept.

    Raises:
        ConfigError: an override that cannot be read or swept.
    """
    alternatives: list[list[str]] = []
    fixed: list[str] = []
    try:
        for override in OverridesParser.create().parse_overrides(list(overrides)):
            key = override.get_key_element()
            if not override.is_sweep_override():
                fixed.append(override.key_or_group)
                alternatives.append([str(override.input_line)])
            elif override.is_discrete_sweep() and not isinstance(override.value(), Glob):
                values = override.sweep_string_iterator()
                alternatives.append([f"{key}={value}" for value in values])
            else:
                raise ConfigError(f"{override.input_line}: expected values or range() to sweep")
    except HydraException as error:
        raise ConfigError(one_line(error)) from None
    return [list(job) for job in itertools.product(*alternatives)], fixed


def quote(value: object) -> str:
    """A value that Hydra's override grammar reads back as it is, whatever is in it."""
    return "'" + str(value).replace("'", "\\'") + "'"


def known_keys(schema: type[Any], prefix: str = "") -> list[str]:
    """Dotted names of all settings."""
    names: list[str] = []
    for name, kind in get_type_hints(schema).items():
        dotted = f"{prefix}{name}"
        if isinstance(kind, type) and is_dataclass(kind):
            names += known_keys(kind, f"{dotted}.")
        else:
            names.append(dotted)
    return names


def _explain(error: Exception, overrides: Sequence[str], schema: type[Any]) -> str:
    """One line for what Hydra says in many: the key, what was expected, the nearest name."""
    cause = error.__cause__ if isinstance(error.__cause__, OmegaConfBaseException) else error
    if isinstance(error, MissingConfigException) and error.options is not None:
        group, _, wrong = str(error.missing_cfg_file).rpartition("/")
        if group:
            options = [str(option) for option in error.options]
            return (
                f"{group}={wrong} is unknown; expected one of {', '.join(options)}"
                f"{did_you_mean(wrong, options)}"
            )
    message = one_line(cause)
    refused = re.match(r"Could not override '([^']+)'", one_line(error))
    if refused or " not in " in message:
        key = _as_given(refused[1] if refused else _field(cause), overrides)
        known = known_keys(schema)
        if key not in known:
            near = did_you_mean(key, known) or _by_last_part(key, known)
            return f"unknown setting {key!r}{near}; --help lists the settings"
    if isinstance(cause, OmegaConfBaseException):
        key = _field(cause)
        value = next((o.partition("=")[2] for o in overrides if o.startswith(f"{key}=")), None)
        said = f"{key}={value}" if value is not None else key
        return f"{said}: {message.split(' full_key:')[0]}"
    return message


def _as_given(key: str, overrides: Sequence[str]) -> str:
    """The whole dotted name that the user wrote, where Hydra names its first wrong part."""
    given = (override.partition("=")[0].lstrip("+~") for override in overrides)
    return next((name for name in given if name == key or name.startswith(f"{key}.")), key)


def _by_last_part(key: str, known: Sequence[str]) -> str:
    """`root` → `dataset.root`."""
    last = key.rpartition(".")[2]
    same = [name for name in known if name.rpartition(".")[2] == last]
    return f" (did you mean {same[0]!r}?)" if same else ""


def _field(error: Exception) -> str:
    return str(getattr(error, "full_key", None) or "") or one_line(error)
