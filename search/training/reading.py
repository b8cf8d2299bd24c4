"""What a score reads of an untrained network: weights, gradients, patterns of activity."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from blocks.layers import ACTIVATION_LAYERS
from search.training.loss import label_loss

_ACTIVATIONS: Final = tuple(ACTIVATION_LAYERS.values())
_NORMS: Final = (nn.BatchNorm2d, nn.GroupNorm)


def weights_of(network: nn.Module) -> dict[str, Tensor]:
    """The weights of convolutions and linear layers by name; norms and biases are left out."""
    return {
        f"{name}.weight": module.weight
        for name, module in network.named_modules()
        if isinstance(module, nn.Conv2d | nn.Linear)
    }


def gradients_of(network: nn.Module, images: Tensor, labels: Tensor) -> tuple[Tensor, ...]:
    """The loss's gradients by those weights, in their order."""
    network.train()
    several = labels.ndim == 2
    loss = (label_loss if several else F.cross_entropy)(network(images), labels)
    return torch.autograd.grad(loss, list(weights_of(network).values()))


@torch.no_grad()
def observe(network: nn.Module, images: Tensor, see: Callable[[Tensor], None]) -> None:
    """Run the batch; `see` gets what every activation is fed, as bool (N, units): above 0."""

    def hook(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        see((inputs[0] > 0).flatten(1))

    network.train()  # normalised by the batch: an untrained network has no statistics of its own
    active = [module for module in network.modules() if isinstance(module, _ACTIVATIONS)]
    handles = [module.register_forward_pre_hook(hook) for module in active]
    try:
        network(images)
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def made_linear(network: nn.Module) -> Iterator[None]:
    """Normalisations and activations hand on their input meanwhile."""
    bypassed = [
        module for module in network.modules() if isinstance(module, (*_ACTIVATIONS, *_NORMS))
    ]
    handles = [module.register_forward_hook(_hand_on) for module in bypassed]
    in_place: list[Any] = [module for module in bypassed if getattr(module, "inplace", False)]
    for module in in_place:
        module.inplace = False  # its input would be gone
    try:
        yield
    finally:
        for module in in_place:
            module.inplace = True
        for handle in handles:
            handle.remove()


def _hand_on(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
    return inputs[0]
