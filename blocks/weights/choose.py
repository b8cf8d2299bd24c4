"""Which tensors of a checkpoint are a network's: those whose names fit it best.

A training script's file may hold the weights and their average, a loss, metrics and counters,
under names of its own. All that stands in it is looked at, behind every prefix.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from blocks.arch import ArchSpec
from blocks.messages import say
from blocks.network import Network
from blocks.weights.layouts import LAYOUTS
from blocks.weights.read import State, check_numbers, read_content, read_state

_DEEPEST: Final = 4
"""Mappings within mappings that are looked into."""
_COUNTERS: Final = ("total_ops", "total_params", "n_averaged")
"""What thop and torch's AveragedModel leave among a network's tensors."""


@dataclass(frozen=True)
class Fitting:
    """`state` are the tensors that fit; `left_out` the names of those that are something else,
    `within` the entries of the file that they stood in and the prefix of their names."""

    state: State
    left_out: tuple[str, ...] = ()
    within: str = ""


def read_fitting(path: Path, arch: ArchSpec) -> Fitting:
    """The tensors of a weights file that fit `arch`, in whatever layout, and without prefixes.

    Of those that fit equally well, averages (EMA) are before last weights. What was left out is
    said. Where nothing fits, the tensors are those of `read_state`.

    Raises:
        WeightsError: see `read_state`.
    """
    known = _known_modules(arch)
    anchors = {next(iter(modules)) for modules in known}
    best: tuple[tuple[int, bool, int], tuple[str, ...], str, Mapping[Any, Any]] | None = None
    for trail, content in _mappings(read_content(path)):
        names = [str(name) for name, value in content.items() if isinstance(value, Tensor)]
        for prefix in _prefixes(names, anchors):
            found = {name[len(prefix) :].rpartition(".")[0] for name in names if _has(name, prefix)}
            score = max(len(found & modules.keys()) for modules in known)
            rank = (score, any("ema" in each.lower() for each in (*trail, prefix)), -len(trail))
            if score and (best is None or rank > best[0]):
                best = rank, trail, prefix, content
    if best is None:
        return Fitting(read_state(path))
    _, trail, prefix, content = best
    tensors = {str(name): value for name, value in content.items() if isinstance(value, Tensor)}
    tops = {module.partition(".")[0] for modules in known for module in modules}
    state, left_out = {}, []
    for name, tensor in tensors.items():
        short = name[len(prefix) :]
        own = _has(name, prefix) and short.partition(".")[0] in tops
        if own and short.rpartition(".")[2] not in _COUNTERS:
            state[short] = tensor
        else:
            left_out.append(name)
    check_numbers(state, path)
    if left_out:
        more = f" and {len(left_out) - 3} more" if len(left_out) > 3 else ""
        say(f"{path.name}: left out {', '.join(left_out[:3])}{more}, which are no network's")
    return Fitting(state, tuple(left_out), ".".join([*trail, prefix.rstrip(".")]).strip("."))


def _has(name: str, prefix: str) -> bool:
    return name.startswith(prefix)


def _mappings(content: Any, trail: tuple[str, ...] = ()) -> Iterator[tuple[Any, Mapping[Any, Any]]]:
    """Every mapping in a file that holds tensors, with the names that lead to it."""
    if not isinstance(content, Mapping):
        return
    if any(isinstance(value, Tensor) for value in content.values()):
        yield trail, content
    if len(trail) < _DEEPEST:
        for name, value in content.items():
            yield from _mappings(value, (*trail, str(name)))


def _prefixes(names: list[str], anchors: set[str]) -> list[str]:
    """What may stand before all names of a network: whatever stands before one of the modules that
    its layouts begin with."""
    found = {""}
    for name in names:
        module = name.rpartition(".")[0]
        for anchor in anchors:
            if module.endswith(f".{anchor}"):
                found.add(module[: -len(anchor)])
    return sorted(found, key=len)


def _known_modules(arch: ArchSpec) -> list[dict[str, None]]:
    """The modules of `arch` by the names of each layout, ours first, in the order of execution."""
    with torch.device("meta"):
        ours = Network(arch, 1).state_dict()
    known = [dict.fromkeys(name.rpartition(".")[0] for name in ours)]
    known += [
        dict.fromkeys(theirs for _, theirs in layout(arch)(arch)) for layout in LAYOUTS.values()
    ]
    return [modules for modules in known if modules]
