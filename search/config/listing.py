"""Every setting with its type, default and meaning, as its schema says them.

The meaning of a setting is the comment beside it, or in the lines below it: there is no second
place to keep in step.
"""

import ast
import inspect
import io
import sys
import tokenize
from dataclasses import dataclass, fields, is_dataclass
from types import NoneType, UnionType
from typing import Any, Union, cast, get_args, get_origin, get_type_hints

from search.config.build import plain


@dataclass(frozen=True)
class Setting:
    """A setting by its dotted name; `default` is written as on the command line."""

    name: str
    kind: str
    default: str
    meaning: str


def list_settings(config: Any, prefix: str = "") -> list[Setting]:
    """The settings of a dataclass, their defaults being what `config` has."""
    found = []
    schema = type(config)
    kinds, meanings = get_type_hints(schema), _comments(schema)
    for field in fields(config):
        value, kind = getattr(config, field.name), kinds[field.name]
        inner, _ = plain(kind)
        if isinstance(inner, type) and is_dataclass(inner):
            found += list_settings(value, f"{prefix}{field.name}.")
        else:
            found.append(
                Setting(
                    f"{prefix}{field.name}",
                    kind_name(kind),
                    written(value),
                    meanings.get(field.name, ""),
                )
            )
    return found


def kind_name(kind: Any) -> str:
    """A type for people: `whole number or null`, `list of text`."""
    if get_origin(kind) in (Union, UnionType):
        return " or ".join(kind_name(each) for each in get_args(kind))
    if get_origin(kind) is list:
        return f"list of {kind_name(get_args(kind)[0])}"
    if get_origin(kind) is dict:
        return f"mapping to {kind_name(get_args(kind)[1])}"
    if isinstance(kind, type) and is_dataclass(kind):
        return "mappings of " + ", ".join(each.name for each in fields(kind))
    names: dict[Any, str] = {
        int: "whole number",
        float: "number",
        bool: "true or false",
        str: "text",
        NoneType: "null",
        Any: "quantity, such as 600k, 25M, 0.4G",
    }
    return names.get(kind, str(kind))


def written(value: Any) -> str:
    """A value as on the command line."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list):
        return "[" + ",".join(written(each) for each in value) + "]"
    if is_dataclass(value):
        given = {each.name: getattr(value, each.name) for each in fields(value)}
        inner = (f"{name}: {written(each)}" for name, each in given.items() if each is not None)
        return "{" + ", ".join(inner) + "}"
    return str(value)


def _comments(schema: type[Any]) -> dict[str, str]:
    """The comment of each field of a class: beside it, or in the lines below it."""
    try:
        source = inspect.getsource(sys.modules[schema.__module__])
    except OSError:  # installed without its source
        return {}
    comments: dict[int, str] = {}
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        text = token.string.lstrip("#").removesuffix("# fmt: skip").strip()
        if token.type == tokenize.COMMENT and not text.startswith("fmt:"):
            comments[token.start[0]] = text
    found = {}
    lines = source.splitlines()
    for node in ast.parse(source).body:
        if not isinstance(node, ast.ClassDef) or node.name != schema.__name__:
            continue
        for statement in node.body:
            if not isinstance(statement, ast.AnnAssign):
                continue
            first, last = statement.lineno, cast(int, statement.end_lineno)
            said = [comments[line] for line in range(first, last + 1) if line in comments]
            line = last + 1
            while line in comments and lines[line - 1].lstrip().startswith("#"):
                said.append(comments[line])
                line += 1
            found[cast(ast.Name, statement.target).id] = " ".join(said)
    return found
