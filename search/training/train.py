"""The training loop: proxy candidates, the scaling grid and the final B0 all go through it."""

import copy
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.optim.lr_scheduler import LambdaLR

from blocks.arch import ArchSpec, Size
from blocks.drop_block import DropBlockSpec
from blocks.network import Network
from search.config.schema import ProxyConfig
from search.data.augment import Augmentation
from search.data.batches import Batches, shrink
from search.errors import TrainingError
from search.training.checkpoint import read_checkpoint, save_whole
from search.training.deadline import check_deadline
from search.training.device import autocast, place
from search.training.evaluate import evaluate
from search.training.label_metrics import LabelScores
from search.training.loss import Loss, loss_of
from search.training.metrics import Scores
from search.training.optimizer import build_optimizer
from search.training.pulse import tell_epoch
from search.training.schedule import average_decay, size_of, warmup_cosine


@dataclass(frozen=True)
class TrainingResult:
    """A trained network, how it does on the validation images after the last epoch, and its losses.

    `train_loss` holds one mean per epoch, in nats, label smoothing, mixed labels and class weights
    included.
    """

    network: Network
    val: Scores | LabelScores
    train_loss: tuple[float, ...]
    train_seconds: float
    eval_seconds: float

    @property
    def val_accuracy(self) -> float:
        """A fraction."""
        return self.val.accuracy

    @property
    def val_loss(self) -> float:
        """In nats."""
        return self.val.loss


@dataclass
class _Training:
    """A training between two epochs: all that changes while it goes on.

    `average` follows the weights, where they are averaged. `losses` holds the mean of each epoch
    so far, `seconds` what earlier pieces took.
    """

    network: Network
    average: Network | None
    optimizer: torch.optim.Optimizer
    schedule: LambdaLR
    shuffle: torch.Generator
    steps: int
    device: str
    losses: list[float]
    seconds: float
    loss: Loss

    def state(self) -> dict[str, Any]:
        """What a checkpoint holds, random states included."""
        return {
            "network": self.network.state_dict(),
            "average": None if self.average is None else self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "random": torch.get_rng_state(),
            "cuda_random": torch.cuda.get_rng_state() if self.device == "cuda" else None,
            "shuffle": self.shuffle.get_state(),
            "losses": self.losses,
            "seconds": self.seconds,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what `state` returned."""
        self.network.load_state_dict(state["network"])
        if self.average is not None:
            self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        torch.set_rng_state(state["random"])
        if self.device == "cuda":
            torch.cuda.set_rng_state(state["cuda_random"])
        self.shuffle.set_state(state["shuffle"])
        self.losses, self.seconds = state["losses"], state["seconds"]


def train(
    arch: ArchSpec,
    num_classes: int,
    batches: Batches,
    proxy: ProxyConfig,
    epochs: int,
    seed: int,
    until: int | None = None,
    checkpoint: Path | None = None,
    initial: dict[str, Tensor] | None = None,
    device: str = "cpu",
) -> TrainingResult:
    """Train `arch` for `epochs` and measure it on the validation split.

    It begins with random weights, or with `initial`, a state_dict. With `proxy.ema` the network is
    the moving average of the weights and statistics over the steps (see `average_decay`). With
    `proxy.start_resolution` its images grow over the epochs (see `size_of`); it is validated at
    the full resolution.

    Everything random (weights, order, augmentation, dropout) follows `seed`. With a `checkpoint`
    the training goes on from that file, if it is there. Where it ends after `until` epochs of the
    schedule, it writes the file: in pieces it is the same training as in one.

    Raises:
        TrainingError: the loss stopped being a number.
    """
    training = _begin(arch, num_classes, batches, proxy, epochs, seed, initial, device)
    state = None if checkpoint is None else read_checkpoint(checkpoint)
    if state is not None:
        training.restore(state)
    started = time.perf_counter()
    end = epochs if until is None else until
    tell_epoch(len(training.losses), epochs)
    for epoch in range(len(training.losses), end):
        size = size_of(arch.image, proxy.start_resolution, epoch, epochs)
        loss = _train_epoch(training, batches, proxy, num_classes, size)
        training.losses.append(loss)
        tell_epoch(epoch + 1, epochs)
        if not math.isfinite(loss):
            raise TrainingError("nan", f"the loss became {loss} in epoch {epoch + 1}")
    trained = time.perf_counter()
    training.seconds += trained - started
    judged = training.network if training.average is None else training.average
    val = evaluate(judged, batches, batches.val)
    if not math.isfinite(val.loss):
        raise TrainingError("nan", f"the validation loss became {val.loss}")
    if checkpoint is not None and end < epochs:
        save_whole(training.state(), checkpoint)
    return TrainingResult(
        judged,
        val,
        tuple(training.losses),
        training.seconds,
        time.perf_counter() - trained,
    )


def _begin(
    arch: ArchSpec,
    num_classes: int,
    batches: Batches,
    proxy: ProxyConfig,
    epochs: int,
    seed: int,
    initial: dict[str, Tensor] | None,
    device: str,
) -> _Training:
    """A training before its first step."""
    torch.manual_seed(seed)
    drop_block = DropBlockSpec(proxy.drop_block, proxy.drop_block_size, proxy.drop_block_shape)
    network = Network(
        arch,
        num_classes,
        dropout=proxy.dropout,
        drop_path=proxy.drop_path,
        drop_block=drop_block if proxy.drop_block else None,
    )
    if initial is not None:
        network.load_state_dict(initial)
    network = place(network, proxy, device)
    optimizer = build_optimizer(network, proxy)
    steps = epochs * (len(batches.train) // _batch_size(proxy, batches))
    return _Training(
        network,
        copy.deepcopy(network) if proxy.ema else None,
        optimizer,
        LambdaLR(optimizer, lambda step: warmup_cosine(step, steps, proxy.warmup_fraction)),
        torch.Generator().manual_seed(seed),
        steps,
        device,
        [],
        0.0,
        loss_of(proxy, batches.train.labels, num_classes, device),
    )


def _train_epoch(
    training: _Training, batches: Batches, proxy: ProxyConfig, num_classes: int, size: Size
) -> float:
    """One epoch at images of `size` pixels; the mean loss of its batches."""
    network, optimizer, schedule = training.network, training.optimizer, training.schedule
    latest = _floats(network)
    average = None if training.average is None else _floats(training.average)
    network.train()
    losses = []
    for images, labels in batches.shuffled(
        _batch_size(proxy, batches),
        augmentation_of(proxy),
        num_classes,
        training.shuffle,
        proxy.balanced_batches,
    ):
        check_deadline()
        if proxy.drop_block:
            network.set_progress(schedule.last_epoch / max(1, training.steps - 1))
        images, labels = (each.to(training.device, non_blocking=True) for each in (images, labels))
        with autocast(proxy.precision, training.device):
            logits = network(shrink(images, size))
            loss = training.loss(logits, labels)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
        if average is not None:
            _follow(average, latest, average_decay(proxy.ema or 0.0, schedule.last_epoch))
        losses.append(loss.detach())
    return torch.stack(losses).mean().item()


def _batch_size(proxy: ProxyConfig, batches: Batches) -> int:
    return min(proxy.batch_size, len(batches.train))


def _floats(network: Network) -> list[Tensor]:
    """Weights and batch norm's statistics, which stay where they are while a network trains."""
    return [value for value in network.state_dict().values() if value.is_floating_point()]


@torch.no_grad()
def _follow(average: list[Tensor], latest: list[Tensor], decay: float) -> None:
    """average ← decay · average + (1 − decay) · latest."""
    torch._foreach_lerp_(average, latest, 1 - decay)


def augmentation_of(proxy: ProxyConfig) -> Augmentation:
    """What a proxy does to its training images."""
    return Augmentation(
        flip=proxy.flip,
        crop_padding=proxy.padding,
        rand_augment=proxy.rand_augment,
        cutout=proxy.cutout,
        mixup=proxy.mixup,
        cutmix=proxy.cutmix,
    )
