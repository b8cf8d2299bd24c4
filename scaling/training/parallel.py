"""Several processes that train one network: `torchrun --nproc-per-node=N -m scaling train …`.

Each has its part of every batch; gradients are averaged, so the network is the one that a single
process trains with the whole batch.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

import torch
import torch.distributed as dist
from torch import Tensor, nn

from scaling.compound import ScalingError

_PATIENCE: Final = timedelta(minutes=10)
"""For another process, which may be writing a checkpoint or compiling operators."""


@dataclass(frozen=True)
class World:
    """Which of how many processes this is."""

    rank: int = 0
    size: int = 1

    @property
    def first(self) -> bool:
        """Whether this one writes files and speaks."""
        return self.rank == 0

    def part(self, values: Tensor) -> Tensor:
        """This process's part of a batch: every so many-th."""
        return values[self.rank :: self.size] if self.size > 1 else values

    def mean(self, value: Tensor) -> Tensor:
        """The mean over processes."""
        if self.size == 1:
            return value
        value = value.clone()
        dist.all_reduce(value)
        return value / self.size

    def agreed(self, value: bool) -> bool:
        """What the first process says."""
        if self.size == 1:
            return value
        said = torch.tensor([int(value)])
        if dist.get_backend() == "nccl":
            said = said.cuda()
        dist.broadcast(said, 0)
        return bool(said.item())

    def wait(self) -> None:
        """Until all are here."""
        if self.size > 1:
            dist.barrier()


ALONE: Final = World()


@contextmanager
def joined(device: str) -> Iterator[World]:
    """The processes that torchrun started, joined for as long as the context lasts.

    Raises:
        ScalingError: their variables are not all there.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield ALONE
        return
    try:
        rank, local = int(os.environ["RANK"]), int(os.environ["LOCAL_RANK"])
    except (KeyError, ValueError):
        raise ScalingError(
            f"WORLD_SIZE={size} without RANK and LOCAL_RANK; expected torchrun to start this"
        ) from None
    if device == "cuda":
        torch.cuda.set_device(local)
    dist.init_process_group("nccl" if device == "cuda" else "gloo", timeout=_PATIENCE)
    try:
        yield World(rank, size)
    finally:
        dist.destroy_process_group()


def with_synced_norm(network: nn.Module) -> None:
    """Have batch norm normalise by the batch of all processes."""
    for module in network.modules():
        for name, child in module.named_children():
            if isinstance(child, nn.BatchNorm2d):
                setattr(module, name, _synced(child))


def _synced(norm: nn.BatchNorm2d) -> "SyncedNorm":
    made = SyncedNorm(norm.num_features, norm.eps, norm.momentum)
    made.load_state_dict(norm.state_dict())
    return made


class _Summed(torch.autograd.Function):
    """The sum over processes; each one's gradient is the sum of all."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        summed = values.clone()
        dist.all_reduce(summed)
        return summed

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        summed = gradient.clone()
        dist.all_reduce(summed)
        return summed


class SyncedNorm(nn.BatchNorm2d):
    """`nn.BatchNorm2d` over the batches of all processes, on every device: PyTorch's own
    `SyncBatchNorm` is for GPUs alone. Each process must have as many images."""

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or not dist.is_initialized():
            return super().forward(x)
        size = dist.get_world_size()
        wide = x.float()
        sums = torch.stack([wide.mean((0, 2, 3)), wide.square().mean((0, 2, 3))])
        mean, square = _Summed.apply(sums) / size
        var = (square - mean.square()).clamp_min(0)
        count = x.numel() / x.shape[1] * size
        self._remember(mean.detach(), var.detach() * count / max(1.0, count - 1))
        scale = self.weight * (var + self.eps).rsqrt()
        shift = self.bias - mean * scale
        normalised: Tensor = wide * scale[:, None, None] + shift[:, None, None]
        return normalised.to(x.dtype)

    def _remember(self, mean: Tensor, var: Tensor) -> None:
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)
        momentum = self.momentum
        if momentum is None:
            momentum = 1 / float(self.num_batches_tracked)
        self.running_mean.lerp_(mean, momentum)
        self.running_var.lerp_(var, momentum)


def distributed(network: nn.Module, device: str) -> nn.Module:
    """`network`, its gradients being the mean over processes."""
    from torch.nn.parallel import DistributedDataParallel

    where: Any = [torch.cuda.current_device()] if device == "cuda" else None
    return DistributedDataParallel(network, device_ids=where, broadcast_buffers=False)


def same_everywhere(network: nn.Module) -> None:
    """Give every process the weights of the first."""
    for value in network.state_dict().values():
        dist.broadcast(value, 0)
