"""Architectures as plain dicts and lists, for YAML and JSON."""

import re
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, TypeVar

from blocks.arch.spec import ArchSpec
from blocks.arch.stage import StageSpec
from blocks.errors import ArchError
from blocks.names import did_you_mean

_Spec = TypeVar("_Spec")


def arch_to_mapping(arch: ArchSpec) -> dict[str, Any]:
    """The fields of `arch` as plain dicts and lists, for YAML and JSON."""
    plain = {f.name: getattr(arch, f.name) for f in fields(arch) if f.name != "stages"}
    if arch.wide is None:  # as files of square images always were
        del plain["wide"]
    stages = [{f.name: getattr(stage, f.name) for f in fields(stage)} for stage in arch.stages]
    return {**plain, "stages": stages}


def arch_from_mapping(mapping: Mapping[str, Any]) -> ArchSpec:
    """The inverse of `arch_to_mapping`.

    Raises:
        ArchError: an unknown or missing field, or a value outside its range.
    """
    if not isinstance(mapping, Mapping):
        raise ArchError(f"architecture {mapping!r} is no mapping of its fields")
    stages = mapping.get("stages")
    if not isinstance(stages, list):
        raise ArchError(f"architecture field 'stages' is {stages!r}; expected a list of mappings")
    rest = {key: value for key, value in mapping.items() if key != "stages"}
    built = tuple(
        _from_fields(StageSpec, stage, f"stage {number}") for number, stage in enumerate(stages, 1)
    )
    return _from_fields(ArchSpec, {**rest, "stages": built}, "architecture")


def _from_fields(kind: type[_Spec], mapping: Mapping[str, Any], where: str) -> _Spec:
    known = [f.name for f in fields(kind)]  # type: ignore[arg-type]
    if not isinstance(mapping, Mapping):
        raise ArchError(f"{where} is {mapping!r}; expected a mapping of its fields")
    for key in mapping:
        if key not in known:
            raise ArchError(f"unknown field {key!r} in {where}{did_you_mean(key, known)}")
    try:
        return kind(**mapping)
    except TypeError as error:
        missing = re.findall(r"'(\w+)'", str(error))
        raise ArchError(f"{where} lacks {', '.join(missing) or error}") from None
