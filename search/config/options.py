"""Named options of a group of settings: the files of the folders of `conf`."""

import functools
from pathlib import Path
from typing import Any, Final

from blocks.names import did_you_mean
from blocks.yaml_text import load_yaml
from search.errors import ConfigError

CONF: Final = Path(__file__).resolve().parents[2] / "conf"
"""Beside this package; a folder `conf` of the user's is another."""


@functools.cache
def _read(path: Path) -> dict[str, Any]:
    return dict(load_yaml(path.read_text(encoding="utf-8")) or {})


def options(group: str) -> list[str]:
    """The names in a group."""
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))


def groups() -> list[str]:
    """`dataset`, `recipe` and `space`."""
    return sorted(path.name for path in CONF.iterdir() if any(path.glob("*.yaml")))


def option(group: str, name: str) -> dict[str, Any]:
    """What a named option sets.

    Raises:
        ConfigError: there is none of this name; names the nearest.
    """
    known = options(group)
    if name not in known:
        raise ConfigError(
            f"{group}={name} is unknown; expected one of {', '.join(known)}"
            f"{did_you_mean(name, known)}"
        )
    return _read(CONF / group / f"{name}.yaml")
