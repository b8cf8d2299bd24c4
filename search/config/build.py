"""A settings dataclass from plain values: names and types checked, nothing else read into them."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from types import NoneType, UnionType
from typing import Any, Final, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from blocks.names import did_you_mean
from search.errors import ConfigError, UnknownSettingError

Config = TypeVar("Config")
WHERE: Final = "`python -m search settings` lists them"


def build(
    schema: type[Config],
    given: Mapping[str, Any],
    prefix: str = "",
    base: Config | None = None,
    listed: str = WHERE,
) -> Config:
    """The dataclass `schema` with the values of `given`, nested as it is.

    What is not given is as in `base`, or else the default. `prefix` is where the settings stand
    in the whole, `listed` how to find their names.

    Raises:
        ConfigError: a name that the schema has not, or a value of another type.
    """
    kinds = get_type_hints(schema)
    values: dict[str, Any] = {}
    for name, value in given.items():
        if name not in kinds:
            inner = next(iter(value), None) if isinstance(value, Mapping) else None
            wrong = str(name) if inner is None else f"{name}.{inner}"
            raise unknown(_dotted(prefix, wrong), schema, prefix, listed)
    for field in fields(cast(Any, schema)):
        inner = None if base is None else getattr(base, field.name)
        if field.name in given:
            dotted = _dotted(prefix, field.name)
            default = inner
            if default is None and field.default_factory is not MISSING:
                default = field.default_factory()
            values[field.name] = convert(
                kinds[field.name], given[field.name], dotted, default, listed
            )
        elif base is not None:
            values[field.name] = inner
    return schema(**values)


def convert(kind: Any, value: Any, name: str, default: Any = None, listed: str = WHERE) -> Any:
    """`value` as a `kind`, the type of a field.

    Raises:
        ConfigError: it cannot be one.
    """
    kind, optional = plain(kind)
    if value is None and optional:
        return None
    if kind is Any:
        return value
    if isinstance(kind, type) and is_dataclass(kind):
        if isinstance(value, kind):
            return value
        if not isinstance(value, Mapping):
            raise ConfigError(
                f"{name}={value} is not a group of settings; expected {name}.NAME=VALUE"
            )
        base = default if isinstance(default, kind) else None
        return build(kind, value, name, base, listed)
    if get_origin(kind) is list:
        if not isinstance(value, Sequence) or isinstance(value, str):
            raise ConfigError(f"{name}={value} is not a list; expected for example {name}=[…,…]")
        (inner,) = get_args(kind)
        return [
            convert(inner, item, f"{name}[{number}]", listed=listed)
            for number, item in enumerate(value)
        ]
    if get_origin(kind) is dict:
        if not isinstance(value, Mapping):
            raise ConfigError(
                f"{name}={value} is not a mapping; expected for example {name}={{…: …}}"
            )
        _, inner = get_args(kind)
        return {
            str(key): convert(inner, item, _dotted(name, str(key)), listed=listed)
            for key, item in value.items()
        }
    return _leaf(kind, value, name)


def plain(kind: Any) -> tuple[Any, bool]:
    """`int | None` → `int`, True."""
    if get_origin(kind) in (Union, UnionType):
        others = [each for each in get_args(kind) if each is not NoneType]
        if len(others) == 1:
            return others[0], True
    return kind, kind is Any


def setting_kinds(schema: type[Any], prefix: str = "") -> dict[str, Any]:
    """Dotted names of all settings, and their types."""
    kinds: dict[str, Any] = {}
    for name, kind in get_type_hints(schema).items():
        dotted = _dotted(prefix, name)
        inner, _ = plain(kind)
        if isinstance(inner, type) and is_dataclass(inner):
            kinds |= setting_kinds(inner, dotted)
        else:
            kinds[dotted] = kind
    return kinds


_FIT: Final = "fit."
"""Settings of the step after a search, which are looked for here."""


def unknown(
    name: str, schema: type[Any], prefix: str = "", listed: str = WHERE, also: Sequence[str] = ()
) -> UnknownSettingError:
    """What to say of a misspelt setting: the nearest right one, and where all of them stand."""
    settings = setting_kinds(schema, prefix)
    known = [*settings, *sorted({each.rpartition(".")[0] for each in settings} - {""}), *also]
    near = did_you_mean(name, known)
    last = name.rpartition(".")[2]
    same = [each for each in known if each.rpartition(".")[2] == last]
    if same and not near:
        near = f" (did you mean {same[0]!r}?)"
    if name.startswith(_FIT) and not any(each.startswith(_FIT) for each in settings):
        near = (
            f" (`python -m scaling fit` has {_FIT}*: give it there, after search.scale=false here)"
        )
    return UnknownSettingError(name, f"unknown setting {name!r}{near}; {listed}")


def _leaf(kind: Any, value: Any, name: str) -> Any:
    if type(value) is kind and kind in _NAMES:
        return value  # and OmegaConf, slow to import, is not asked
    if type(value) is kind is str and "${" not in value:
        return value
    from omegaconf import nodes
    from omegaconf.errors import OmegaConfBaseException

    if isinstance(value, os.PathLike) and kind is str:
        value = os.fspath(value)
    if type(value).__module__ == "numpy" and hasattr(value, "item"):
        value = value.item()
    nodes_of: dict[Any, Any] = {
        str: nodes.StringNode,
        int: nodes.IntegerNode,
        float: nodes.FloatNode,
        bool: nodes.BooleanNode,
    }
    if kind not in nodes_of:
        return value
    if kind is not str and isinstance(value, str) and "${" in value:
        raise ConfigError(f"{name}={value} is not {_NAMES[kind]}")
    try:
        return nodes_of[kind](value, key=name, is_optional=False)._value()
    except OmegaConfBaseException as error:
        said = str(error).splitlines()[0]
        said = said.replace("$VALUE_TYPE", type(value).__name__).replace("$VALUE", str(value))
        raise ConfigError(f"{name}={value}: {said}") from None


_NAMES: Final = {int: "a whole number", float: "a number", bool: "true or false"}


def _dotted(prefix: str, name: str) -> str:
    return f"{prefix}.{name}" if prefix else name
