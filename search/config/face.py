"""Settings from Python: the same names, defaults and messages as on the command line."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from search.config.build import build
from search.config.schema import DatasetConfig, RunConfig, SpaceConfig, dataset_named, space_named
from search.errors import ConfigError


def config_from(**settings: Any) -> RunConfig:
    """The settings of a search, given as Python values.

    Groups are mappings or dotted names; `space` and `dataset` may be names of `conf/space` and
    `conf/dataset`, as on the command line. A value is what it is: no text is read as anything
    but text.

    Example:
        >>> config = config_from(study="pets", dataset={"name": "imagefolder", "root": "pets"},
        ...                      space="efficientnet", **{"proxy.epochs": 2})
        >>> config.dataset.val_fraction, config.proxy.epochs
        (0.15, 2)

    Raises:
        ConfigError: a misspelt name, or a value of another type.
    """
    tree: dict[str, Any] = {}
    for name, value in settings.items():
        _put(tree, name.split("."), value, name)
    if "space" in tree:
        tree["space"] = _space(tree["space"])
    if "dataset" in tree:
        tree["dataset"] = _dataset(tree["dataset"])
    _refuse_empty(tree)
    return build(RunConfig, tree, base=RunConfig())


def _put(tree: dict[str, Any], path: list[str], value: Any, whole: str) -> None:
    """Set a value in nested mappings; a mapping is merged with what is there."""
    name, *rest = path
    if rest:
        inner = tree.setdefault(name, {})
        if isinstance(inner, str):  # a named group, of which a setting is changed
            inner = tree[name] = {"": inner}
        if not isinstance(inner, dict):
            inner = tree[name] = _mapping(inner, whole)
        _put(inner, rest, value, whole)
    elif isinstance(value, Mapping):
        inner = tree.setdefault(name, {})
        inner = {"": inner} if isinstance(inner, str) else inner
        tree[name] = inner
        for key, item in value.items():
            _put(inner, str(key).split("."), item, f"{whole}.{key}")
    elif isinstance(value, str) and isinstance(tree.get(name), dict):
        tree[name] = {"": value, **tree[name]}
    else:
        tree[name] = value


def _mapping(value: Any, name: str) -> dict[str, Any]:
    try:
        return {each.name: getattr(value, each.name) for each in fields(value)}
    except TypeError:
        raise ConfigError(f"{name}: its group is given as {value!r} too; expected one") from None


def _space(given: Any) -> Any:
    if isinstance(given, str):
        return space_named(given)
    if isinstance(given, dict):
        base = space_named(given.pop("")) if "" in given else None
        return build(SpaceConfig, given, "space", base or RunConfig().space)
    return given


def _dataset(given: Any) -> Any:
    if isinstance(given, str):
        return dataset_named(given)
    if isinstance(given, dict):
        named = given.pop("", given.get("name"))
        base = RunConfig().dataset if named is None else dataset_named(str(named))
        return build(DatasetConfig, given, "dataset", base)
    return given


def _refuse_empty(tree: Mapping[str, Any], prefix: str = "") -> None:
    for name, value in tree.items():
        if isinstance(value, Mapping):
            _refuse_empty(value, f"{prefix}{name}.")
        elif value == "" or (isinstance(value, DatasetConfig) and value.root == ""):
            name = f"{prefix}{name}" + (".root" if value != "" else "")
            raise ConfigError(f"{name} is empty; expected a value, or None for none")
