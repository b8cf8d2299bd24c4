"""Where a network looks: Grad-CAM of several stages, integrated gradients of the pixels.

Captum computes both. Its hooks see modules that are really called, so networks are explained in
evaluation mode, where the compiled operators stand back.
"""

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from blocks.arch import ArchSpec, Size
from blocks.arch.walk import walk
from blocks.network import Network
from scaling.compound import ScalingError

SMALLEST: Final = 2
"""Pixels of a side of a map that still says where something is."""
_AT_ONCE: Final = 16
"""Steps of integrated gradients that are run at a time."""


@dataclass(frozen=True)
class Layer:
    """A place in the network: what it is called, and the size of its maps in pixels."""

    name: str
    size: Size
    module: nn.Module


def captum(name: str) -> Any:
    """A class of `captum.attr`.

    Raises:
        ScalingError: the package is not installed.
    """
    try:
        import captum.attr
    except ImportError:
        raise ScalingError('explaining needs captum: pip install "compound-nas[explain]"') from None
    return getattr(captum.attr, name)


def explainable(network: Network) -> Network:
    """A copy on the CPU in evaluation mode whose activations leave their input alone, as what a
    hook has kept must not change afterwards."""
    network = copy.deepcopy(network).cpu().eval().to(memory_format=torch.contiguous_format)
    for module in network.modules():
        if getattr(module, "inplace", False):
            module.inplace = False  # type: ignore[assignment]
    return network.requires_grad_(False)


def choose_layers(network: Network, count: int) -> list[Layer]:
    """The last stage of each size of maps, of the `count` smallest sizes; of the last one the head,
    which the classifier reads. Maps of fewer than `SMALLEST` pixels are left out."""
    sizes = _sizes(network.arch)
    last: dict[Size, int] = {size: number for number, size in enumerate(sizes)}
    least = min(SMALLEST, max(size.shorter for size in sizes))
    chosen = [
        Layer(_named(f"stage {number + 1}", size), size, _last_block(network, number))
        for size, number in last.items()
        if size.shorter >= least
    ][-count:]
    if chosen[-1].size == sizes[-1] and not isinstance(network.head, nn.Identity):
        chosen[-1] = Layer(_named("head", sizes[-1]), sizes[-1], network.head)
    return chosen


def _named(name: str, size: Size) -> str:
    return f"{name} ({size.height}×{size.width})"


def _sizes(arch: ArchSpec) -> list[Size]:
    """Of what each stage gives, in pixels."""
    return [
        next(block.out_map for block in walk(arch) if block.stage_index == number)
        for number in range(len(arch.stages))
    ]


def _last_block(network: Network, stage: int) -> nn.Module:
    blocks = network.stages[stage]
    assert isinstance(blocks, nn.Sequential)
    return blocks[len(blocks) - 1]


def grad_cam(network: Network, layer: Layer, image: Tensor, target: int) -> Tensor:
    """Where `layer` speaks for class `target`: float32 (H, W), 0 or more, of an image (1, C, H, W),
    normalised.

    Source: Selvaraju et al. (arXiv 1610.02391).
    """
    with torch.enable_grad():
        found = captum("LayerGradCam")(network, layer.module).attribute(
            image.clone().requires_grad_(), target, relu_attributions=True
        )
    size = image.shape[2:]
    return F.interpolate(found.detach(), size, mode="bilinear", align_corners=False)[0, 0]


def integrated_gradients(network: Network, image: Tensor, target: int, steps: int) -> Tensor:
    """What each pixel brings to the logit of class `target` on the way from the mean image: the
    sizes, float32 (H, W), smoothed over 3×3 pixels.

    Source: Sundararajan et al. (arXiv 1703.01365).
    """
    with torch.enable_grad():
        found = captum("IntegratedGradients")(network).attribute(
            image.clone().requires_grad_(),
            baselines=torch.zeros_like(image),
            target=target,
            n_steps=steps,
            internal_batch_size=_AT_ONCE,
        )
    sizes = found.detach().float().sum(1, keepdim=True).abs()
    return F.avg_pool2d(sizes, 3, 1, 1)[0, 0]


def maps_of(
    network: Network, layers: Sequence[Layer], image: Tensor, target: int, steps: int
) -> Iterator[tuple[str, Tensor]]:
    """Each kind of map by name, the deepest last but for the pixels' own."""
    for layer in layers:
        yield layer.name, grad_cam(network, layer, image, target)
    yield "pixels", integrated_gradients(network, image, target, steps)
