"""One training of a member of a bank, and all that is kept of it."""

import math
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from banks import Bank, Schedule

from blocks.arch import parse_arch
from blocks.network import Network
from search.data.batches import Batches, prepare
from search.data.splits import ImageData, Split
from search.record.trials import derive_seed
from search.training.evaluate import EVALUATED, evaluate
from search.training.train import train


@dataclass(frozen=True)
class Task:
    """One training: a member, a schedule, which of its seeds."""

    arch: str
    schedule: Schedule
    replicate: int


def run(
    task: Task, bank: Bank, rotations: list[ImageData], device: str = "cpu"
) -> dict[str, Any]:
    """Train by the schedule, judge after every `schedule.every` epochs, test at the end."""
    schedule = task.schedule
    data = rotations[task.replicate % len(rotations)]
    arch = parse_arch(task.arch)
    batches = prepare(data, arch.resolution)
    fidelity = {"bank": schedule.name, "epochs": schedule.epochs}
    seed = derive_seed(0, task.arch, fidelity, task.replicate)
    curve = []
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        for until in schedule.looks:
            result = train(
                arch, data.num_classes, batches, schedule.proxy, schedule.epochs, seed,
                until=until, checkpoint=Path(folder) / "checkpoint.pt", device=device,
            )  # fmt: skip
            curve.append((until, round(result.val_loss, 5), round(result.val_accuracy, 5)))
    line = {
        "arch": task.arch,
        "schedule": schedule.name,
        "replicate": task.replicate,
        "train_loss": [round(loss, 5) for loss in result.train_loss],
        "curve": curve,
        "flipped": judge_flipped(result.network, batches, batches.val),
        "seconds": round(time.perf_counter() - started, 2),
    }
    if schedule.test:
        accuracy, loss = evaluate(result.network, batches, batches.test)
        line["test"] = [round(loss, 5), round(accuracy, 5)]
    return line


@torch.inference_mode()
def judge_flipped(network: Network, batches: Batches, split: Split) -> list[float]:
    """Mean cross-entropy and accuracy of the mean of an image's and its mirror's probabilities."""
    network.eval()
    device = next(network.parameters()).device
    loss, correct = 0.0, 0
    for images, labels in zip(
        torch.split(split.images, EVALUATED), torch.split(split.labels, EVALUATED), strict=True
    ):
        logs = [
            F.log_softmax(network(batches.normalise(view).to(device)), 1).cpu()
            for view in (images, images.flip(-1))
        ]
        log = torch.logsumexp(torch.stack(logs), 0) - math.log(2)
        loss += float(F.nll_loss(log, labels, reduction="sum"))
        correct += int((log.argmax(1) == labels).sum())
    return [round(loss / len(split), 5), round(correct / len(split), 5)]
