"""One training of a member of a bank, and all that is kept of it."""

import math
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from banks import Bank, Division, Schedule

from blocks.arch import parse_arch
from blocks.network import Network
from search.data.batches import Batches, prepare
from search.data.splits import ImageData, Split
from search.record.trials import derive_seed
from search.training.evaluate import all_logits, evaluate
from search.training.outcomes import inverse_temperature
from search.training.train import train


@dataclass(frozen=True)
class Task:
    """One training: a member, a schedule, which of its seeds."""

    arch: str
    schedule: Schedule
    replicate: int

    def division(self, bank: Bank) -> Division:
        """The split of the images that it needs."""
        return bank.division(self.schedule, self.replicate)


def run(
    task: Task, bank: Bank, data: Mapping[Division, ImageData], device: str = "cpu"
) -> dict[str, Any]:
    """Train by the schedule, judge after every `schedule.every` epochs, test at the end."""
    schedule = task.schedule
    images = data[task.division(bank)]
    arch = parse_arch(task.arch)
    batches = prepare(images, arch.resolution)
    fidelity = {"bank": schedule.name, "epochs": schedule.epochs}
    seed = derive_seed(0, task.arch, fidelity, task.replicate)
    curve = []
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        for until in schedule.looks:
            result = train(
                arch, images.num_classes, batches, schedule.proxy, schedule.epochs, seed,
                until=until, checkpoint=Path(folder) / "checkpoint.pt", device=device,
            )  # fmt: skip
            curve.append((until, round(result.val_loss, 5), round(result.val_accuracy, 5)))
    line = {
        "arch": task.arch,
        "schedule": schedule.name,
        "replicate": task.replicate,
        "train_loss": [round(loss, 5) for loss in result.train_loss],
        "curve": curve,
        **judge(result.network, batches, batches.val),
        "seconds": round(time.perf_counter() - started, 2),
    }
    if schedule.test:
        test = evaluate(result.network, batches, batches.test)
        line["test"] = [round(test.loss, 5), round(test.accuracy, 5)]
    return line


@torch.inference_mode()
def judge(network: Network, batches: Batches, split: Split) -> dict[str, Any]:
    """Mean cross-entropy and accuracy of the mean of an image's and its mirror's probabilities;
    and cross-entropies, of the image and of that mean, after temperature scaling."""
    mirrored = Split(split.images.flip(-1), split.labels)
    views = [all_logits(network, batches, each) for each in (split, mirrored)]
    logs = torch.stack([F.log_softmax(logits, 1) for logits in views])
    both = torch.logsumexp(logs, 0) - math.log(2)
    loss = F.nll_loss(both, split.labels).item()
    accuracy = (both.argmax(1) == split.labels).float().mean().item()
    scaled = [scaled_loss(logits, split.labels) for logits in (views[0], both)]
    return {
        "flipped": [round(loss, 5), round(accuracy, 5)],
        "scaled": [round(value, 5) for value in scaled],
    }


def scaled_loss(logits: torch.Tensor, labels: torch.Tensor) -> float:
    """The mean cross-entropy at the best temperature."""
    return F.cross_entropy(logits * inverse_temperature(logits, labels), labels).item()
