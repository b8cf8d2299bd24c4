"""How a supernet is trained, and how a member is judged by it.

Several random feasible members in turn, each with a step of its own, train on one batch: first
the one of most macs, on the labels; then the others, on what it answered (in-place distillation;
BigNAS, arXiv 2003.11142) or, by default, on the labels too. The sandwich rule (Yu & Huang,
1903.05134) has the largest and the smallest of the whole space in every step: in a training as
short as this one these two became good, and the others did not.
"""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from blocks.arch import ArchSpec
from blocks.cost import count
from blocks.functional import forward
from search.config.schema import ProxyConfig
from search.config.steps import SupernetConfig
from search.data.batches import Batches, prepare, shrink
from search.data.splits import ImageData
from search.errors import ConfigError, TrainingError
from search.record.trials import derive_seed
from search.space.members import SpaceCandidates
from search.training.checkpoint import read_checkpoint, save_whole
from search.training.class_weights import class_weights, cross_entropy
from search.training.evaluate import evaluate
from search.training.label_metrics import LabelScores
from search.training.metrics import Scores
from search.training.optimizer import AdamW, without_compiler
from search.training.schedule import average_decay, warmup_cosine
from search.training.supernet import Supernet, build_supernet, copy_of
from search.training.train import augmentation_of

CALIBRATION_BATCH: Final = 128
"""Images at a time that batch norm's statistics are measured on."""


@dataclass
class _Training:
    """A training between two epochs: all that changes while it goes on.

    `average` follows `tensors`; there are `steps` to an epoch; `epochs` and `seconds` are those
    so far.
    """

    tensors: list[Tensor]
    average: list[Tensor]
    optimizer: torch.optim.Optimizer
    schedule: LambdaLR
    shuffle: torch.Generator
    steps: int
    epochs: int = 0
    seconds: float = 0.0

    def state(self) -> dict[str, Any]:
        """What a checkpoint holds."""
        return {
            "tensors": [tensor.detach() for tensor in self.tensors],
            "average": self.average,
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "shuffle": self.shuffle.get_state(),
            "epochs": self.epochs,
            "seconds": self.seconds,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what `state` returned."""
        _restore(self.tensors, state["tensors"])
        _restore(self.average, state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        self.shuffle.set_state(state["shuffle"])
        self.epochs, self.seconds = state["epochs"], state["seconds"]


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

    Of the proxy it takes the batches, augmentation, label smoothing, class weights and weight
    decay; the optimiser is AdamW. Everything random follows `seed`. It goes on from `checkpoint`,
    if it is there, and writes it after every epoch: in pieces it is the same training as in one.
    `say` hears of each epoch: its number, the mean loss (nats) of each batch's largest, seconds.

    Raises:
        ConfigError: no feasible member was found.
        TrainingError: the loss stopped being a number.
    """
    supernet = build_supernet(
        candidates.space,
        candidates.budget,
        candidates.num_classes,
        derive_seed(seed, "supernet", "weights"),
    )
    batches = prepare(data, candidates.space.largest_image)
    training = _begin(supernet, batches, proxy, settings, seed)
    state = read_checkpoint(checkpoint)
    if state is not None:
        training.restore(state)
    for epoch in range(training.epochs, settings.epochs):
        started = time.perf_counter()
        generator = np.random.default_rng(derive_seed(seed, "supernet", "members", epoch))
        members = _members(candidates, settings.samples * training.steps, generator)
        loss = _train_epoch(training, supernet, members, batches, proxy, settings)
        if not math.isfinite(loss):
            raise TrainingError("nan", f"its loss became {loss} in epoch {epoch + 1}")
        spent = time.perf_counter() - started
        training.epochs, training.seconds = epoch + 1, training.seconds + spent
        say(epoch + 1, loss, spent)
        save_whole(training.state(), checkpoint)
    averaged = dict(zip(supernet.tensors, training.average, strict=True))
    return Supernet(averaged, supernet.num_classes), training.seconds


def _begin(
    supernet: Supernet, batches: Batches, proxy: ProxyConfig, settings: SupernetConfig, seed: int
) -> _Training:
    """A training before its first step."""
    tensors = list(supernet.tensors.values())
    optimizer = _optimizer(tensors, proxy, settings)
    steps = len(batches.train) // _batch_size(proxy, batches)
    schedule = LambdaLR(
        optimizer,
        lambda step: warmup_cosine(step, settings.epochs * steps, settings.warmup_fraction),
    )
    return _Training(
        tensors,
        [tensor.detach().clone() for tensor in tensors],
        optimizer,
        schedule,
        torch.Generator().manual_seed(derive_seed(seed, "supernet", "shuffle")),
        steps,
    )


def _train_epoch(
    training: _Training,
    supernet: Supernet,
    members: Iterator[ArchSpec],
    batches: Batches,
    proxy: ProxyConfig,
    settings: SupernetConfig,
) -> float:
    """One epoch; the mean loss of each batch's largest member."""
    num_classes, losses = supernet.num_classes, []
    classes = class_weights(proxy.class_weights, batches.train.labels, num_classes)
    for images, labels in batches.shuffled(
        _batch_size(proxy, batches),
        augmentation_of(proxy),
        num_classes,
        training.shuffle,
        proxy.balanced_batches,
    ):
        chosen = [next(members) for _ in range(settings.samples)]
        chosen.sort(key=lambda arch: _size(arch, num_classes), reverse=True)
        wanted, smoothing, weights = labels, proxy.label_smoothing, classes
        for number, arch in enumerate(chosen):
            # What has no part in a step stays as it is.
            training.optimizer.zero_grad(set_to_none=True)
            logits, loss = backward(
                supernet, arch, images, wanted, smoothing, proxy.kernels, weights
            )
            training.optimizer.step()
            if number == 0:
                losses.append(loss)
                if settings.distil:
                    # It has learnt from weighted labels: weights would count twice.
                    wanted, smoothing, weights = logits.softmax(1), 0.0, None
        training.schedule.step()
        decay = average_decay(settings.ema, training.schedule.last_epoch)
        with torch.no_grad():
            torch._foreach_lerp_(training.average, training.tensors, 1 - decay)
    return torch.stack(losses).mean().item()


def _batch_size(proxy: ProxyConfig, batches: Batches) -> int:
    return min(proxy.batch_size, len(batches.train))


def judge(
    supernet: Supernet, arch: ArchSpec, batches: Batches, images: int
) -> Scores | LabelScores:
    """How a subnet does on the validation images, batch norm's statistics being those of the same
    `images` training images for every subnet, drawn at random: a folder lies sorted by class.

    Raises:
        ConfigError: the network is no subnet.
    """
    network = supernet.subnet(arch)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None  # the mean over all batches
    network.train()
    with torch.inference_mode():
        order = torch.randperm(len(batches.train), generator=torch.Generator().manual_seed(0))
        for rows in torch.split(order[:images], CALIBRATION_BATCH):
            if len(rows) > 1:  # one image has no variance
                network(batches.normalise(batches.train.images[rows]))
    return evaluate(network, batches, batches.val)


def _members(
    candidates: SpaceCandidates, number: int, generator: np.random.Generator
) -> Iterator[ArchSpec]:
    """`number` random feasible members; a space of fewer gives some of them again."""
    codes = candidates.sample(number, generator)
    if not len(codes):
        raise ConfigError(
            f"no member of the space within the budget ({candidates.budget}) is known"
        )
    for position in range(number):
        yield candidates.network(candidates.decode(codes[position % len(codes)]))[0]


def backward(
    supernet: Supernet,
    arch: ArchSpec,
    images: Tensor,
    wanted: Tensor,
    smoothing: float,
    kernels: str = "auto",
    weights: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Leave a subnet's gradients in the shared tensors; returns its logits and loss.

    Its slices are copied first: gradients of its own size then take its own time, where those of
    a slice are of the size of the whole.
    """
    slices = list(supernet.slices(arch))
    copies = {name: copy_of(supernet.tensors[name][part]).requires_grad_() for name, part in slices}
    logits = forward(arch, copies, shrink(images, arch.image), kernels=kernels)
    loss = cross_entropy(logits, wanted, smoothing, weights)
    loss.backward()  # type: ignore[no-untyped-call]
    for name, part in slices:
        whole, gradient = supernet.tensors[name], copies[name].grad
        assert gradient is not None
        whole.grad = torch.zeros_like(whole) if whole.grad is None else whole.grad
        whole.grad[part] += gradient
    return logits.detach(), loss.detach()


def _size(arch: ArchSpec, num_classes: int) -> tuple[int, int]:
    cost = count(arch, num_classes)
    return cost.macs, cost.params


def _optimizer(
    tensors: list[Tensor], proxy: ProxyConfig, settings: SupernetConfig
) -> torch.optim.Optimizer:
    # Batch norm and biases are left out of weight decay, as in a proxy training.
    groups = [
        {"params": [one for one in tensors if one.ndim > 1], "weight_decay": proxy.weight_decay},
        {"params": [one for one in tensors if one.ndim == 1], "weight_decay": 0.0},
    ]
    without_compiler()
    return AdamW(groups, settings.lr, fused=True)


@torch.no_grad()
def _restore(tensors: list[Tensor], stored: list[Tensor]) -> None:
    for tensor, kept in zip(tensors, stored, strict=True):
        tensor.copy_(kept)
