"""The training loop: proxy candidates, the scaling grid and the final B0 all go through it."""

import copy
import io
import math
import os
import pickle
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from blocks.arch import ArchSpec
from blocks.drop_block import DropBlockSpec
from blocks.network import Network
from search.config.schema import ProxyConfig
from search.data.augment import Augmentation
from search.data.batches import Batches, shrink
from search.data.splits import Split
from search.errors import TrainingError
from search.training.device import autocast, place

EVALUATED: Final = 256
"""Images that are judged at once."""
_DAMAGE: Final = (
    RuntimeError, EOFError, ValueError, LookupError, pickle.UnpicklingError,
)  # fmt: skip
"""What `torch.load` raises of a damaged file."""


@dataclass(frozen=True)
class TrainingResult:
    """A trained network, its validation accuracy after the last epoch, and its losses.

    `train_loss` holds one mean per epoch, in nats, label smoothing and mixed labels included.
    """

    network: Network
    val_accuracy: float
    val_loss: float
    train_loss: tuple[float, ...]
    train_seconds: float
    eval_seconds: float


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
    """Train `arch` from scratch for `epochs` and measure it on the validation split.

    With `proxy.ema` the network is the exponential moving average of the weights and statistics
    over the steps (decay min(ema, (1 + t) / (10 + t)), as in TensorFlow's), not the last ones.

    With `initial`, a state_dict, it begins with these weights. With `proxy.start_resolution` its
    images grow over the epochs (`side_of`); they are validated at the full resolution.

    Everything random (weights, order, augmentation, dropout) follows `seed`. With a `checkpoint`
    the training goes on from that file, if it is there, and ends after `until` of the schedule's
    epochs by writing it: in pieces it is the same training as in one.

    Raises:
        TrainingError: the loss stopped being a number.
    """
    torch.manual_seed(seed)
    shuffle = torch.Generator().manual_seed(seed)
    drop_block = DropBlockSpec(proxy.drop_block, proxy.drop_block_size, proxy.drop_block_shape)
    augmentation = augmentation_of(proxy)
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
    average = copy.deepcopy(network) if proxy.ema else None
    optimizer = _optimizer(network, proxy)
    batch_size = min(proxy.batch_size, len(batches.train))
    steps = epochs * (len(batches.train) // batch_size)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: warmup_cosine(step, steps, proxy.warmup_fraction)
    )
    losses: list[float] = []
    before = 0.0  # seconds of earlier pieces
    state = None if checkpoint is None else read_checkpoint(checkpoint)
    if state is not None:
        network.load_state_dict(state["network"])
        if average is not None:
            average.load_state_dict(state["average"])
        optimizer.load_state_dict(state["optimizer"])
        schedule.load_state_dict(state["schedule"])
        torch.set_rng_state(state["random"])
        if device == "cuda":
            torch.cuda.set_rng_state(state["cuda_random"])
        shuffle.set_state(state["shuffle"])
        losses, before = state["losses"], state["seconds"]
    followed = None if average is None else (_floats(average), _floats(network))
    started = time.perf_counter()
    end = epochs if until is None else until
    for epoch in range(len(losses), end):
        side = side_of(arch.resolution, proxy.start_resolution, epoch, epochs)
        network.train()
        epoch_losses = []
        for images, labels in batches.shuffled(batch_size, augmentation, num_classes, shuffle):
            if proxy.drop_block:
                network.set_progress(schedule.last_epoch / max(1, steps - 1))
            images, labels = (each.to(device, non_blocking=True) for each in (images, labels))
            with autocast(proxy.precision, device):
                logits = network(shrink(images, side))
                loss = F.cross_entropy(logits, labels, label_smoothing=proxy.label_smoothing)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
            if followed is not None:
                _follow(*followed, min(proxy.ema or 0.0, _warm(schedule.last_epoch)))
            epoch_losses.append(loss.detach())
        losses.append(torch.stack(epoch_losses).mean().item())
        if not math.isfinite(losses[-1]):
            raise TrainingError("nan", f"the loss became {losses[-1]} in epoch {len(losses)}")
    trained = time.perf_counter()
    judged = network if average is None else average
    accuracy, val_loss = evaluate(judged, batches, batches.val)
    if not math.isfinite(val_loss):
        raise TrainingError("nan", f"the validation loss became {val_loss}")
    if checkpoint is not None and end < epochs:
        state = {
            "network": network.state_dict(),
            "average": None if average is None else average.state_dict(),
            "optimizer": optimizer.state_dict(),
            "schedule": schedule.state_dict(),
            "random": torch.get_rng_state(),
            "cuda_random": torch.cuda.get_rng_state() if device == "cuda" else None,
            "shuffle": shuffle.get_state(),
            "losses": losses,
            "seconds": before + trained - started,
        }
        save_whole(state, checkpoint)
    return TrainingResult(
        judged,
        accuracy,
        val_loss,
        tuple(losses),
        before + trained - started,
        time.perf_counter() - trained,
    )


def _floats(network: Network) -> list[Tensor]:
    """Weights and batch norm's statistics, which stay where they are while a network trains."""
    return [value for value in network.state_dict().values() if value.is_floating_point()]


@torch.no_grad()
def _follow(average: list[Tensor], latest: list[Tensor], decay: float) -> None:
    """average ← decay · average + (1 − decay) · latest."""
    torch._foreach_lerp_(average, latest, 1 - decay)


def side_of(resolution: int, start: float, epoch: int, epochs: int) -> int:
    """Pixels that images have in an epoch (from 0): from the share `start` of the resolution
    linearly to all of it in the last (progressive resizing, as in EfficientNetV2, §4.2)."""
    if epochs == 1:
        return resolution
    return max(1, round(resolution * (start + (1 - start) * epoch / (epochs - 1))))


def macs_share(proxy: ProxyConfig) -> float:
    """Of the macs of a training at full resolution, the share that a proxy's images leave."""
    sides = [
        side_of(proxy.resolution, proxy.start_resolution, epoch, proxy.epochs)
        for epoch in range(proxy.epochs)
    ]
    return sum(side**2 for side in sides) / len(sides) / proxy.resolution**2


def _warm(step: int) -> float:
    return (1 + step) / (10 + step)


def augmentation_of(proxy: ProxyConfig) -> Augmentation:
    """What a proxy does to its training images."""
    return Augmentation(
        flip=proxy.flip,
        crop_padding=proxy.crop_padding,
        rand_augment=proxy.rand_augment,
        cutout=proxy.cutout,
        mixup=proxy.mixup,
        cutmix=proxy.cutmix,
    )


def save_whole(content: Any, path: Path) -> None:
    """`torch.save` that leaves the whole file or the old one.

    Raises:
        OSError: the disk is full, or refuses.
    """
    # Through memory: torch's own writer calls a full disk a RuntimeError, like a bad network.
    buffer = io.BytesIO()
    torch.save(content, buffer)
    partial = path.with_suffix(".partial")
    try:
        with open(partial, "wb") as file:
            file.write(buffer.getbuffer())
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except OSError:
        partial.unlink(missing_ok=True)
        raise


def read_checkpoint(path: Path) -> Any:
    """What `train` left, or None: of a damaged file nothing is missed but time, as the training
    from the start is the same one."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what a damaged file seems to be
            return torch.load(path, weights_only=True, map_location="cpu")
    except FileNotFoundError:
        return None
    except _DAMAGE as error:
        if "allocate memory" in str(error):
            raise  # the file may be whole
        path.unlink()
        return None


@torch.inference_mode()
def evaluate(network: Network, batches: Batches, split: Split) -> tuple[float, float]:
    """Top-1 accuracy (fraction) and mean cross-entropy (nats) of `network` on `split`."""
    network.eval()
    device = next(network.parameters()).device
    correct = 0
    loss = 0.0
    for images, labels in zip(
        torch.split(split.images, EVALUATED), torch.split(split.labels, EVALUATED), strict=True
    ):
        logits: Tensor = network(batches.normalise(images).to(device)).cpu()
        correct += int((logits.argmax(1) == labels).sum())
        loss += F.cross_entropy(logits, labels, reduction="sum").item()
    return correct / len(split), loss / len(split)


def _optimizer(network: Network, proxy: ProxyConfig) -> torch.optim.Optimizer:
    # Batch norm and biases are left out of weight decay (tensorflow/tpu efficientnet main.py).
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
    if proxy.optimizer == "sgd":
        return torch.optim.SGD(
            groups, proxy.lr, momentum=proxy.momentum, nesterov=proxy.momentum > 0, fused=True
        )
    return torch.optim.AdamW(groups, proxy.lr, fused=True)


def warmup_cosine(step: int, steps: int, warmup_fraction: float) -> float:
    """Factor of the learning rate: linear rise over the warm-up, then half a cosine to 0."""
    warmup = warmup_fraction * steps
    if step < warmup:
        return (step + 1) / math.ceil(warmup)
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1.0, steps - warmup)))
