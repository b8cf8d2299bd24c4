"""Tensors of other libraries under our names, and back."""

from collections.abc import Mapping

import torch
from torch import Tensor

from blocks.arch import ArchSpec
from blocks.errors import WeightsError
from blocks.network import Network
from blocks.weights.layouts import LAYOUTS, find_layout
from blocks.weights.read import State


def detect_source(state: Mapping[str, Tensor], arch: ArchSpec) -> str:
    """The layout whose names fit `state` best."""
    fits = {"compound_nas": _modules(state) & _modules(_template(arch))}
    for source, layout in LAYOUTS.items():
        fits[source] = _modules(state) & {theirs for _, theirs in layout(arch)(arch)}
    return max(fits, key=lambda source: len(fits[source]))


def from_foreign(state: Mapping[str, Tensor], arch: ArchSpec, source: str) -> State:
    """A state dict in the layout of `source`, renamed to ours; unknown names stay as they are."""
    if source == "compound_nas":
        return dict(state)
    ours_of = {theirs: ours for ours, theirs in find_layout(source, arch)(arch)}
    renamed: State = {}
    for name, tensor in state.items():
        module, _, leaf = name.rpartition(".")
        ours = f"{ours_of[module]}.{leaf}" if module in ours_of else name
        if ours == "hidden.0.weight" and tensor.ndim == 4:
            tensor = tensor.flatten(1)  # timm's hidden layer is a 1×1 convolution
        renamed[ours] = tensor
    return renamed


def to_foreign(state: Mapping[str, Tensor], arch: ArchSpec, source: str) -> State:
    """The inverse of `from_foreign`: our state dict under the names of `source`.

    Raises:
        WeightsError: the layout has no name for a part of this network.
    """
    if source == "compound_nas":
        return dict(state)
    theirs_of = dict(find_layout(source, arch)(arch))
    renamed: State = {}
    for name, tensor in state.items():
        module, _, leaf = name.rpartition(".")
        if module not in theirs_of:
            raise WeightsError(f"the layout of {source} has no name for {name} of {arch}")
        theirs = f"{theirs_of[module]}.{leaf}"
        if theirs == "conv_head.weight" and tensor.ndim == 2:
            tensor = tensor[:, :, None, None]
        renamed[theirs] = tensor
    return renamed


def _template(arch: ArchSpec) -> State:
    with torch.device("meta"):
        return Network(arch, 1).state_dict()


def _modules(state: Mapping[str, Tensor]) -> set[str]:
    return {name.rpartition(".")[0] for name in state}
