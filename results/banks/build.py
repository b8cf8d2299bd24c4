"""Train random members of a space at one exact budget: a bank, by which searches are replayed.

    python results/banks/build.py fashion --minutes 60

It goes on where it stopped. Each member is trained by every schedule of the bank, in turn, so that
what is there so far is whole. `export.py` makes the file that is shipped.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import torch
import torch.nn.functional as F
from banks import BANKS, Bank, Schedule, load

from blocks.arch import parse_arch
from blocks.network import Network
from search.config.settled import SettledWorkers
from search.data.batches import Batches, prepare
from search.data.splits import ImageData, Split
from search.evaluators.pool import WorkerPool
from search.record.trials import derive_seed
from search.training.evaluate import EVALUATED
from search.training.train import train

HERE: Final = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Task:
    """One training: a member, a schedule, which of its seeds."""

    arch: str
    schedule: Schedule
    replicate: int


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("bank", choices=sorted(BANKS))
    parser.add_argument("--root", type=Path, help="folder of the images that are not shipped")
    parser.add_argument("--members", type=int, default=150)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--space", default="auto")
    parser.add_argument("--arch", action="append", default=[], help="train this one, no member")
    parser.add_argument("--only", help="this schedule alone")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--output", type=Path, help="where the lines go")
    given = parser.parse_args()
    bank = BANKS[given.bank]
    output = given.output or HERE / "work" / f"{bank.name}.jsonl"
    output.parent.mkdir(parents=True, exist_ok=True)
    done = {key(line) for line in read(output)}
    archs = given.arch or bank.members(given.space, given.members)
    tasks = [
        Task(arch, schedule, replicate)
        for arch in archs
        for schedule in bank.schedules
        if given.only in (None, schedule.name)
        for replicate in range(schedule.seeds)
        if (arch, schedule.name, replicate) not in done
    ]
    print(f"{len(done)} trainings are there, {len(tasks)} to come", flush=True)
    rotations = [load(bank, given.root, rotation) for rotation in range(bank.rotations)]
    work = partial(run, bank=bank, rotations=rotations)
    until = time.monotonic() + 60 * given.minutes
    with WorkerPool(work, SettledWorkers(count=given.workers)) as pool, output.open("a") as file:
        waiting: set[Future[dict[str, Any]]] = set()
        for task in tasks:
            if time.monotonic() > until:
                break
            waiting.add(pool.evaluate(task))
            if len(waiting) > given.workers:
                ended, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                for future in ended:
                    file.write(json.dumps(future.result()) + "\n")
                file.flush()
        for future in waiting:
            file.write(json.dumps(future.result()) + "\n")


def read(path: Path) -> Iterator[dict[str, Any]]:
    """The lines of a bank; one that was cut off in the middle is left out."""
    if path.exists():
        for line in path.read_text().splitlines():
            try:
                yield json.loads(line)
            except json.JSONDecodeError:
                continue


def key(line: dict[str, Any]) -> tuple[str, str, int]:
    return line["arch"], line["schedule"], line["replicate"]


def run(task: Task, bank: Bank, rotations: list[ImageData]) -> dict[str, Any]:
    """Train by the schedule, judge after every `schedule.every` epochs, test at the end."""
    schedule = task.schedule
    data = rotations[task.replicate % len(rotations)]
    arch = parse_arch(task.arch)
    batches = prepare(data, arch.resolution)
    fidelity = {"bank": schedule.name, "epochs": schedule.epochs}
    seed = derive_seed(0, task.arch, fidelity, task.replicate)
    curve = []
    started = time.perf_counter()
    stops = [*range(schedule.every, schedule.epochs, schedule.every), schedule.epochs]
    with tempfile.TemporaryDirectory() as folder:
        for until in stops:
            result = train(
                arch, data.num_classes, batches, schedule.proxy, schedule.epochs, seed,
                until=until, checkpoint=Path(folder) / "checkpoint.pt",
            )  # fmt: skip
            curve.append((until, round(result.val_loss, 5), round(result.val_accuracy, 5)))
    line = {
        "arch": task.arch,
        "schedule": schedule.name,
        "replicate": task.replicate,
        "train_loss": [round(loss, 5) for loss in result.train_loss],
        "curve": curve,
        "flipped": judge(result.network, batches, batches.val, flip=True),
        "seconds": round(time.perf_counter() - started, 2),
    }
    if schedule.test:
        line["test"] = judge(result.network, batches, batches.test, flip=False)
    return line


@torch.inference_mode()
def judge(network: Network, batches: Batches, split: Split, flip: bool) -> list[float]:
    """Mean cross-entropy and accuracy; with `flip` of the mean of both views' probabilities."""
    network.eval()
    loss, correct = 0.0, 0
    for images, labels in zip(
        torch.split(split.images, EVALUATED), torch.split(split.labels, EVALUATED), strict=True
    ):
        views = [images, images.flip(-1)] if flip else [images]
        logs = [F.log_softmax(network(batches.normalise(view)), 1) for view in views]
        log = torch.logsumexp(torch.stack(logs), 0) - torch.tensor(float(len(logs))).log()
        loss += float(F.nll_loss(log, labels, reduction="sum"))
        correct += int((log.argmax(1) == labels).sum())
    return [round(loss / len(split), 5), round(correct / len(split), 5)]


if __name__ == "__main__":
    main()
