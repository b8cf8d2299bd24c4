"""An experiment as a file of `conf/experiment` says it, and what of it may be set."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from blocks.arch import ArchSpec, format_arch, parse_arch
from blocks.lite import lite
from search.config.options import CONF, option, options
from search.errors import ConfigError

GROUP: Final = "experiment"
CHANGE: Final = "change"
"""The one key of a variant that is no setting of `scaling train`."""


@dataclass(frozen=True)
class Variant:
    """One way: `settings` of `scaling train`, and what is done to the network before it."""

    name: str
    settings: tuple[str, ...]
    change: str | None


@dataclass(frozen=True)
class Experiment:
    """The first variant is what the others are compared with. `about`: the file's own head."""

    name: str
    about: str
    variants: tuple[Variant, ...]


def _global_residual(arch: ArchSpec) -> ArchSpec:
    return parse_arch(f"{format_arch(arch)}-gres")


CHANGES: Final = {"lite": lambda arch: lite(arch)[0], "global_residual": _global_residual}
"""What may be done to a network, by the word of a variant's `change`."""


def experiment_names() -> list[str]:
    """Those of `conf/experiment`."""
    return options(GROUP)


def read_experiment(name: str) -> Experiment:
    """An experiment by its name.

    Raises:
        ConfigError: there is none of this name; names the nearest.
    """
    content = option(GROUP, name)
    text = (CONF / GROUP / f"{name}.yaml").read_text(encoding="utf-8")
    head = [line[1:].strip() for line in text.splitlines() if line.startswith("#")]
    variants = tuple(_variant(key, value or {}) for key, value in content["variants"].items())
    return Experiment(name, "\n".join(head), variants)


def _variant(name: str, content: dict[str, Any]) -> Variant:
    change = content.get(CHANGE)
    if change is not None and change not in CHANGES:
        raise ConfigError(f"change={change} is unknown; expected {', '.join(CHANGES)}")
    settings = (f"{key}={_typed(value)}" for key, value in content.items() if key != CHANGE)
    return Variant(name, tuple(settings), change)


def _typed(value: Any) -> str:
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)


def split_arguments(arguments: Sequence[str]) -> tuple[str, int, list[str]]:
    """(experiment, seeds, the settings of `scaling train`) of a command line.

    Raises:
        ConfigError: no experiment is named, or the number of seeds is none.
    """
    if not arguments or "=" in arguments[0]:
        raise ConfigError(
            f"which experiment? expected one of {', '.join(experiment_names())}: "
            "python -m scaling experiment NAME study=main"
        )
    seeds, left = SEEDS, []
    for line in arguments[1:]:
        name, _, value = line.partition("=")
        if name != "seeds":
            left.append(line)
        elif not value.isascii() or not value.isdigit() or not 2 <= int(value) <= MOST_SEEDS:
            raise ConfigError(f"seeds={value} is not a whole number from 2 to {MOST_SEEDS}")
        else:
            seeds = int(value)
    return arguments[0], seeds, left


SEEDS: Final = 3
"""Trainings of each variant, unless `seeds=` says otherwise."""
MOST_SEEDS: Final = 100
