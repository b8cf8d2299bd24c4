"""The layouts that are known, and what each library builds its networks with."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from blocks.arch import BOTTLENECKS, ArchSpec
from blocks.errors import WeightsError
from blocks.names import did_you_mean
from blocks.weights import torchvision
from blocks.weights.efficientnet_pytorch import efficientnet_pytorch
from blocks.weights.names import Names
from blocks.weights.timm import timm


def _timm_layout(arch: ArchSpec) -> Callable[[ArchSpec], Names]:
    return torchvision.resnet if arch.stages[0].block in BOTTLENECKS else timm


def _torchvision_layout(arch: ArchSpec) -> Callable[[ArchSpec], Names]:
    """The file of torchvision whose networks look like `arch`."""
    if arch.stages[0].block in BOTTLENECKS:
        return torchvision.resnet
    if arch.head_hidden:
        return torchvision.mobilenetv3
    plain = all(stage.block in ("ir", "ds") and not stage.se_ratio for stage in arch.stages)
    if plain and arch.act == "relu6":
        return torchvision.mobilenetv2
    if plain and arch.act == "relu":
        return torchvision.mnasnet
    return torchvision.efficientnet


LAYOUTS: Final[dict[str, Callable[[ArchSpec], Callable[[ArchSpec], Names]]]] = {
    "timm": _timm_layout,
    "torchvision": _torchvision_layout,
    "efficientnet_pytorch": lambda arch: efficientnet_pytorch,
}
SOURCES: Final = ("auto", "compound_nas", *LAYOUTS)

# What a library's networks have in place of PyTorch's batch norm (eps 1e-5, momentum 0.1), by
# the beginning of the zoo's name. timm: its own names are PyTorch's, `tf_…` is in `find_arch`.
_CONVENTIONS: Final[dict[str, dict[str, dict[str, Any]]]] = {
    "torchvision": {
        "efficientnet_b5": {"norm_eps": 1e-3, "norm_momentum": 0.01},
        "efficientnet_b6": {"norm_eps": 1e-3, "norm_momentum": 0.01},
        "efficientnet_b7": {"norm_eps": 1e-3, "norm_momentum": 0.01},
        "efficientnetv2": {"norm_eps": 1e-3},
        "mobilenetv3": {"norm_eps": 1e-3, "norm_momentum": 0.01},
        "mnasnet": {"norm_momentum": 3e-4},
    },
    "efficientnet_pytorch": {
        "efficientnet": {"padding": "same", "norm_eps": 1e-3, "norm_momentum": 0.01},
    },
}


def source_arch(name: str, arch: ArchSpec, source: str) -> ArchSpec:
    """`arch` with the padding and batch norm that `source` gives the zoo's network `name`."""
    for beginning, conventions in _CONVENTIONS.get(source, {}).items():
        if name.startswith(beginning):
            return replace(arch, **conventions)
    return arch


def check_source(source: str) -> None:
    """Refuse an unknown layout.

    Raises:
        WeightsError: names the nearest known one.
    """
    if source not in SOURCES:
        raise WeightsError(
            f"unknown source {source!r}{did_you_mean(source, SOURCES)}; expected one of "
            f"{', '.join(SOURCES)}"
        )


def find_layout(source: str, arch: ArchSpec) -> Callable[[ArchSpec], Names]:
    """The layout of `source` for networks that look like `arch`.

    Raises:
        WeightsError: see `check_source`.
    """
    check_source(source)
    return LAYOUTS[source](arch)
