"""Hydra: the YAML files and the command line, put together into a settings dataclass."""

import functools
import itertools
import shlex
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import yaml
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.utils import create_config_search_path
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from blocks.errors import one_line
from search.config.arguments import as_typed, where
from search.config.arguments import quote as quote
from search.config.arguments import read_command as read_command
from search.config.build import build, setting_kinds
from search.config.face import config_from as config_from
from search.config.options import CONF
from search.config.schema import RunConfig, bare_config
from search.config.schema import dataset_named as dataset_named
from search.config.schema import space_named as space_named
from search.errors import ConfigError


def register_schema(name: str, schema: type[Any], bare: Any = None) -> None:
    """Make the defaults of a dataclass what a YAML file's `defaults` names.

    `bare`: what named options are set on top of, where that is not `schema()`. Types are checked
    afterwards, by `build`.
    """
    node = _bare(schema) if bare is None else bare
    ConfigStore.instance().store(name=name, node=_untyped(node))


def _bare(schema: type[Any]) -> Any:
    # A named data set or space is set on top of what all of them have.
    if schema is RunConfig:
        return bare_config()
    return schema()


def _untyped(config: Any) -> Any:
    if hasattr(config, "__dataclass_fields__"):
        return {each.name: _untyped(getattr(config, each.name)) for each in fields(config)}
    if isinstance(config, list | tuple):
        return [_untyped(each) for each in config]
    return config


register_schema("run_schema", RunConfig)


def compose_config(config_name: str, overrides: Sequence[str], schema: type[Any]) -> Any:
    """The checked configuration object of `conf/<config_name>.yaml` with overrides.

    Values are taken as typed (`as_typed`).

    Raises:
        ConfigError: a misspelt name, a wrong type, a value that cannot be read.
    """
    lines = as_typed(overrides, schema)
    lines = [_readable(line, schema) for line in lines]
    try:
        # Not `hydra.compose`: a process has one Hydra, which may be somebody else's.
        config = ConfigLoaderImpl(create_config_search_path(str(CONF))).load_configuration(
            config_name, lines, RunMode.RUN
        )
        with open_dict(config):
            del config["hydra"]
        return to_object(config, schema)
    except (HydraException, OmegaConfBaseException, yaml.YAMLError) as error:
        cause = error.__cause__ if isinstance(error.__cause__, OmegaConfBaseException) else error
        key = str(getattr(cause, "full_key", None) or "")
        said = one_line(cause).split(" full_key:")[0]
        raise ConfigError(f"{key}: {said}" if key else said) from None


def settings_of(overrides: Sequence[str], schema: type[Any]) -> Any:
    """`name=value` words as a dataclass without groups, whose defaults are its own.

    Raises:
        ConfigError: as `compose_config`.
    """
    lines = as_typed(overrides, schema)
    parsed = [_parse(_readable(line, schema)) for line in lines]
    return build(schema, {each.key_or_group: each.value() for each in parsed}, listed=where(schema))


def to_object(config: DictConfig, schema: type[Any] = RunConfig) -> Any:
    """The dataclass behind a DictConfig: where Hydra's types stop.

    Raises:
        ConfigError: a misspelt name, or a value of another type.
    """
    given: Any = OmegaConf.to_container(config, resolve=True)
    return build(schema, given, listed=where(schema))


def expand_sweep(overrides: Sequence[str]) -> tuple[list[list[str]], list[str]]:
    """The override lists of every job of a multirun, and the keys that are not swept.

    Raises:
        ConfigError: an override that cannot be read or swept.
    """
    alternatives: list[list[str]] = []
    fixed: list[str] = []
    for line in overrides:
        override = _parse(line)
        key = override.get_key_element()
        if not override.is_sweep_override():
            fixed.append(override.key_or_group)
            alternatives.append([line])
        elif override.is_discrete_sweep() and not isinstance(override.value(), Glob):
            values = override.sweep_string_iterator()
            alternatives.append([f"{key}={value}" for value in values])
        else:
            raise ConfigError(f"{shlex.quote(line)}: expected values or range() to sweep")
    return [list(job) for job in itertools.product(*alternatives)], fixed


def known_keys(schema: type[Any]) -> list[str]:
    """Dotted names of all settings."""
    return list(setting_kinds(schema))


def _readable(line: str, schema: type[Any]) -> str:
    """A line that Hydra's grammar can read: a value of another type than text is quoted where it
    cannot, so that the message is about the type."""
    try:
        override = _parse(line)
    except ConfigError:
        name, _, value = line.lstrip("+").partition("=")
        if line.startswith("hydra") or value.startswith(("[", "{")):
            raise
        return f"{name}={quote(value)}"
    if override.is_sweep_override():
        raise ConfigError(
            f"{shlex.quote(line)}: expected one value; several, one after another: --multirun (-m)"
        )
    return line


def _parse(line: str) -> Any:
    try:
        return _grammar().parse_override(line)
    except HydraException:
        raise ConfigError(
            f"{shlex.quote(line)} cannot be read; a list is written [a,b], and its brackets and "
            "quotes are closed"
        ) from None


@functools.cache
def _grammar() -> OverridesParser:
    return OverridesParser.create()
