"""How a supernet is trained, and how a member is judged by it.

Each step trains several members on one batch, the sandwich rule: the largest, on the labels; the
smallest and random ones, on what the largest answers (in-place distillation). All are feasible.
Sources: Yu & Huang (arXiv 1903.05134), BigNAS (2003.11142).
"""

import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from blocks.arch import ArchSpec
from blocks.cost import count
from search.candidates import SpaceCandidates
from search.config import ProxyConfig, SupernetConfig
from search.data import Batches, ImageData, prepare
from search.errors import TrainingError
from search.record import derive_seed
from search.subnet import forward
from search.supernet import Supernet, build_supernet, copy_of
from search.training import evaluate, read_checkpoint, save_whole, warmup_cosine

POOL: Final = 1000
"""Random members of which the largest and the smallest bound every step."""
CALIBRATION_BATCH: Final = 128
"""Images at a time that batch norm's statistics are measured on."""


def train_supernet(
    candidates: SpaceCandidates,
    data: ImageData,
    proxy: ProxyConfig,
    settings: SupernetConfig,
    seed: int,
    checkpoint: Path,
    say: Callable[[int, float, float], None] = lambda epoch, loss, seconds: None,
) -> tuple[Supernet, float]:
    """The supernet of a space, its weights averaged over the steps, and the seconds it took.

    Of the proxy it takes the batches, augmentation, label smoothing and weight decay; the
    optimiser is AdamW. Everything random follows `seed`. It goes on from `checkpoint`, if it is
    there, and writes it after every epoch: in pieces it is the same training as in one. `say`
    hears of each epoch: its number, the largest member's loss (nats), seconds.

    Raises:
        TrainingError: the loss stopped being a number.
    """
    largest, smallest = ends(candidates, seed)
    supernet = build_supernet(
        candidates.space,
        candidates.budget,
        candidates.num_classes,
        derive_seed(seed, "supernet", "weights"),
    )
    tensors = list(supernet.tensors.values())
    average = [tensor.detach().clone() for tensor in tensors]
    optimizer = _optimizer(tensors, proxy, settings)
    batches = prepare(data, max(candidates.space.choices["resolution"]))
    batch_size = min(proxy.batch_size, len(batches.train))
    steps = len(batches.train) // batch_size
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer,
        lambda step: warmup_cosine(step, settings.epochs * steps, settings.warmup_fraction),
    )
    shuffle = torch.Generator().manual_seed(derive_seed(seed, "supernet", "shuffle"))
    done, seconds = 0, 0.0
    state = read_checkpoint(checkpoint)
    if state is not None:
        _restore(tensors, state["tensors"])
        _restore(average, state["average"])
        optimizer.load_state_dict(state["optimizer"])
        schedule.load_state_dict(state["schedule"])
        shuffle.set_state(state["shuffle"])
        done, seconds = state["epochs"], state["seconds"]
    for epoch in range(done, settings.epochs):
        started = time.perf_counter()
        generator = np.random.default_rng(derive_seed(seed, "supernet", "members", epoch))
        members = _members(candidates, settings.samples * steps, generator)
        losses = []
        for images, labels in batches.shuffled(batch_size, proxy.flip, proxy.crop_padding, shuffle):
            chosen = [smallest, *(next(members) for _ in range(settings.samples))]
            losses.append(_step(supernet, largest, chosen, images, labels, proxy, settings))
            optimizer.step()
            schedule.step()
            decay = min(settings.ema, (1 + schedule.last_epoch) / (10 + schedule.last_epoch))
            with torch.no_grad():
                torch._foreach_lerp_(average, tensors, 1 - decay)
        loss = torch.stack(losses).mean().item()
        if not math.isfinite(loss):
            raise TrainingError("nan", f"the supernet's loss became {loss} in epoch {epoch + 1}")
        spent = time.perf_counter() - started
        seconds += spent
        say(epoch + 1, loss, spent)
        state = {
            "tensors": [tensor.detach() for tensor in tensors],
            "average": average,
            "optimizer": optimizer.state_dict(),
            "schedule": schedule.state_dict(),
            "shuffle": shuffle.get_state(),
            "epochs": epoch + 1,
            "seconds": seconds,
        }
        save_whole(state, checkpoint)
    averaged = dict(zip(supernet.tensors, average, strict=True))
    return Supernet(averaged, supernet.num_classes), seconds


def ends(candidates: SpaceCandidates, seed: int) -> tuple[ArchSpec, ArchSpec]:
    """The largest and the smallest of many random feasible members: by macs, and by params where a
    target makes macs equal."""
    generator = np.random.default_rng(derive_seed(seed, "supernet", "ends"))
    pool = list(_members(candidates, POOL, generator))

    def size(arch: ArchSpec) -> tuple[int, int]:
        cost = count(arch, candidates.num_classes)
        free = candidates.budget.target is None or candidates.budget.metric != "macs"
        return (cost.macs, cost.params) if free else (cost.params, cost.macs)

    return max(pool, key=size), min(pool, key=size)


def judge(supernet: Supernet, arch: ArchSpec, batches: Batches, images: int) -> tuple[float, float]:
    """Validation accuracy and loss (nats) of a subnet, batch norm's statistics being those of the
    first `images` of the training split.

    Raises:
        ConfigError: the network is no subnet.
    """
    network = supernet.subnet(arch)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None  # the mean over all batches
    network.train()
    with torch.inference_mode():
        for batch in torch.split(batches.train.images[:images], CALIBRATION_BATCH):
            network(batches.normalise(batch))
    return evaluate(network, batches, batches.val)


def _members(
    candidates: SpaceCandidates, number: int, generator: np.random.Generator
) -> Iterator[ArchSpec]:
    """`number` random feasible members; a space of fewer gives some of them again."""
    codes = candidates.sample(number, generator)
    for position in range(number):
        yield candidates.network(candidates.decode(codes[position % len(codes)]))[0]


def _step(
    supernet: Supernet,
    largest: ArchSpec,
    others: list[ArchSpec],
    images: Tensor,
    labels: Tensor,
    proxy: ProxyConfig,
    settings: SupernetConfig,
) -> Tensor:
    """Leave the gradients of all members, summed; returns the largest's loss."""
    for tensor in supernet.tensors.values():
        tensor.grad = torch.zeros_like(tensor) if tensor.grad is None else tensor.grad.zero_()
    logits, loss = _add_gradients(supernet, largest, images, labels, proxy.label_smoothing)
    wanted = logits.softmax(1) if settings.distil else labels
    smoothing = 0.0 if settings.distil else proxy.label_smoothing
    for arch in others:
        _add_gradients(supernet, arch, images, wanted, smoothing)
    return loss


def _add_gradients(
    supernet: Supernet, arch: ArchSpec, images: Tensor, wanted: Tensor, smoothing: float
) -> tuple[Tensor, Tensor]:
    """Add a subnet's gradients to the shared tensors'; returns its logits and loss.

    Its slices are copied first: gradients of its own size then take its own time, where those of
    a slice are of the size of the whole.
    """
    slices = list(supernet.slices(arch))
    copies = {
        name: copy_of(supernet.tensors[shared][part]).requires_grad_()
        for name, shared, part in slices
    }
    side = arch.resolution
    if images.shape[-1] != side:
        images = F.interpolate(images, (side, side), mode="bilinear", antialias=True)
    logits = forward(arch, copies, images)
    loss = F.cross_entropy(logits, wanted, label_smoothing=smoothing)
    loss.backward()  # type: ignore[no-untyped-call]
    for name, shared, part in slices:
        whole, gradient = supernet.tensors[shared].grad, copies[name].grad
        assert whole is not None
        assert gradient is not None
        whole[part] += gradient
    return logits.detach(), loss.detach()


def _optimizer(
    tensors: list[Tensor], proxy: ProxyConfig, settings: SupernetConfig
) -> torch.optim.Optimizer:
    # Batch norm and biases are left out of weight decay, as in a proxy training.
    groups = [
        {"params": [one for one in tensors if one.ndim > 1], "weight_decay": proxy.weight_decay},
        {"params": [one for one in tensors if one.ndim == 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, settings.lr, fused=True)


@torch.no_grad()
def _restore(tensors: list[Tensor], stored: list[Tensor]) -> None:
    for tensor, kept in zip(tensors, stored, strict=True):
        tensor.copy_(kept)
