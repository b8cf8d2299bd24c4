"""The optimizer of a proxy training.

PyTorch's, without its compiler: `torch.optim` imports `torch._dynamo` to tell it not to compile
optimizers. That takes two seconds in each process, as long as all else that one needs to train.
"""

import inspect
from typing import Final

import torch
from torch import Tensor, nn

from search.config.schema import ProxyConfig

_GUARDED: Final = ("add_param_group", "state_dict", "load_state_dict", "zero_grad")
"""Methods of `torch.optim.Optimizer` that import the compiler at their first call."""


class AdamW(torch.optim.AdamW):
    """`torch.optim.AdamW` that is never compiled."""

    step = torch.no_grad()(inspect.unwrap(torch.optim.AdamW.step))


class SGD(torch.optim.SGD):
    """`torch.optim.SGD` that is never compiled."""

    step = torch.no_grad()(inspect.unwrap(torch.optim.SGD.step))


def build_optimizer(network: nn.Module, proxy: ProxyConfig) -> torch.optim.Optimizer:
    """`proxy.optimizer` of all parameters. Batch norm and biases have no weight decay.

    Source: tensorflow/tpu efficientnet main.py.
    """
    decayed: list[Tensor] = []
    free: list[Tensor] = []
    for module in network.modules():
        for parameter in module.parameters(recurse=False):
            weight = isinstance(module, nn.Conv2d | nn.Linear) and parameter.ndim > 1
            (decayed if weight else free).append(parameter)
    groups = [
        {"params": decayed, "weight_decay": proxy.weight_decay},
        {"params": free, "weight_decay": 0.0},
    ]
    without_compiler()
    if proxy.optimizer == "sgd":
        return SGD(
            groups, proxy.lr, momentum=proxy.momentum, nesterov=proxy.momentum > 0, fused=True
        )
    return AdamW(groups, proxy.lr, fused=True)


def without_compiler() -> None:
    """Let the other methods of optimizers run in this process without `torch._dynamo`."""
    for name in _GUARDED:
        inner = getattr(getattr(torch.optim.Optimizer, name), "__wrapped__", None)
        if inner is not None and not hasattr(inner, "__dynamo_disable"):
            setattr(inner, "__dynamo_disable", inner)  # where `_disable_dynamo` looks
