"""What a block costs: a formula per kind of block, for numbers and for NumPy columns alike."""

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from blocks.arch.walk import Block


class Part(NamedTuple):
    """Cost of a block: conv macs, normalised elements, pooled elements, …; numbers or columns."""

    params: Any
    conv: Any
    norm_elements: Any
    pooled: Any
    activations: Any


class Sizes(NamedTuple):
    """What a formula reads of a block: numbers or columns, named as in `blocks.arch.walk.Block`,
    which has them all too."""

    in_channels: Any
    out_channels: Any
    in_map: Any
    out_map: Any
    hidden: Any
    squeezed: Any
    taps: Any
    groups: Any


def conv_part(inputs: Any, outputs: Any, area: Any, taps: Any = 1) -> Part:
    """A normalised convolution of `inputs` (per group) to `outputs` channels on an output map."""
    weights = inputs * outputs * taps
    elements = outputs * area
    return Part(weights + 2 * outputs, weights * area, elements, 0, elements)


def _squeeze_excite(hidden: Any, squeezed: Any, area: Any) -> Part:
    weights = 2 * hidden * squeezed  # both convolutions have a bias
    return Part(weights + hidden + squeezed, weights, 0, hidden * area, hidden + squeezed)


def _add(*parts: Part) -> Part:
    params, conv, norm_elements, pooled, activations = parts[0]
    # Not in place: the first part's columns may be another's too.
    for part in parts[1:]:
        params = params + part.params
        conv = conv + part.conv
        norm_elements = norm_elements + part.norm_elements
        pooled = pooled + part.pooled
        activations = activations + part.activations
    return Part(params, conv, norm_elements, pooled, activations)


def _mbconv(n: Sizes | Block, squeezes: bool, projects: bool) -> Part:
    expand = conv_part(n.in_channels, n.hidden, n.in_map.area)
    return _add(expand, *_separable_parts(n, squeezes))


def _separable(n: Sizes | Block, squeezes: bool, projects: bool) -> Part:
    return _add(*_separable_parts(n, squeezes))


def _separable_parts(n: Sizes | Block, squeezes: bool) -> list[Part]:
    area = n.out_map.area
    parts = [
        conv_part(1, n.hidden, area, n.taps),
        conv_part(n.hidden, n.out_channels, area),
    ]
    if squeezes:
        parts.append(_squeeze_excite(n.hidden, n.squeezed, area))
    return parts


def _fused_mbconv(n: Sizes | Block, squeezes: bool, projects: bool) -> Part:
    area = n.out_map.area
    parts = [
        conv_part(n.in_channels, n.hidden, area, n.taps),
        conv_part(n.hidden, n.out_channels, area),
    ]
    if squeezes:
        parts.append(_squeeze_excite(n.hidden, n.squeezed, area))
    return _add(*parts)


def _conv_block(n: Sizes | Block, squeezes: bool, projects: bool) -> Part:
    area = n.out_map.area
    return conv_part(n.in_channels, n.out_channels, area, n.taps)


def _bottleneck(n: Sizes | Block, squeezes: bool, projects: bool) -> Part:
    area = n.out_map.area
    parts = [
        conv_part(n.in_channels, n.hidden, n.in_map.area),
        conv_part(n.hidden // n.groups, n.hidden, area, n.taps),
        conv_part(n.hidden, n.out_channels, area),
    ]
    if projects:
        parts.append(conv_part(n.in_channels, n.out_channels, area))
    return _add(*parts)


FORMULAS: Final[dict[str, Callable[[Sizes | Block, bool, bool], Part]]] = {
    "ir": _mbconv,
    "ds": _separable,
    "er": _fused_mbconv,
    "cn": _conv_block,
    "bt": _bottleneck,
    "bx": _bottleneck,
}
"""Block token (`blocks.arch.BLOCKS`) → its cost, given whether it squeezes, and whether its
shortcut projects."""
