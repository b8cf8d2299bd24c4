"""Weights for a network with another classifier or another first convolution."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from blocks.network import Network
from blocks.weights.fit import check_fit
from blocks.weights.read import State
from blocks.weights.rename import detect_source, from_foreign

_STEM, _HEAD = "stem.conv.weight", ("classifier.weight", "classifier.bias")


@dataclass(frozen=True)
class Adapted:
    """All tensors of a network, and what had to be done to them, in lines."""

    state: State
    notes: tuple[str, ...]


def adapt_state(
    network: Network, state: Mapping[str, Tensor], where: str, source: str = "auto"
) -> Adapted:
    """`state`, in whatever layout, for `network`.

    For another number of classes, or where there is none, the classifier is the network's own, as
    it was initialised. For another number of input channels the first convolution is summed to
    one, or of one is spread evenly over all; otherwise it is repeated, keeping its sum.

    Raises:
        WeightsError: anything else differs.
    """
    if source == "auto":
        source = detect_source(state, network.arch)
    ours = from_foreign(state, network.arch, source)
    wanted = network.state_dict()
    notes = []
    shapes = [ours[name].shape if name in ours else None for name in _HEAD]
    if shapes != [wanted[name].shape for name in _HEAD]:
        had = "none" if shapes[1] is None else f"{shapes[1][0]} classes"
        notes.append(f"the classifier is new, {len(wanted[_HEAD[1]])} classes ({where} has {had})")
        ours |= {name: wanted[name].clone() for name in _HEAD}
    stem = ours.get(_STEM)
    if stem is not None and stem.ndim == 4 and stem.shape[1] != wanted[_STEM].shape[1]:
        channels = wanted[_STEM].shape[1]
        ours[_STEM] = other_channels(stem, channels)
        how = "summed" if channels == 1 else "spread"
        notes.append(f"the first convolution is {how}, from {stem.shape[1]} channels to {channels}")
    return Adapted(check_fit(network, ours, source, where, state), tuple(notes))


def other_channels(weight: Tensor, channels: int) -> Tensor:
    """The weight of a convolution, (out, in, k, k), for so many input channels: of an image whose
    channels are alike it gives the same."""
    if channels == 1:
        return weight.sum(1, keepdim=True)
    repeats = -(-channels // weight.shape[1])
    repeated = torch.cat([weight] * repeats, 1)[:, :channels]
    whole, now = weight.sum(1, keepdim=True), repeated.sum(1, keepdim=True)
    # In equal shares, so that the sum is kept whatever is cut off.
    return repeated + (whole - now) / channels
