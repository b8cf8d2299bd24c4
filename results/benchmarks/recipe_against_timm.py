"""Training by recipe=small against timm's own training pieces with its script's defaults, paired.

    python results/benchmarks/recipe_against_timm.py --epochs 12 --seeds 3

The same network (`--network`, a spelling), the same images (the embedded 6,000, or a folder of
classes with `--root`), the same number of epochs, the same seeds, one thread each, and all is
judged alike: on the test images (all 10,000 with `--test-root`), whole, by the weights of the best
validation epoch. Ours is
`python -m scaling train recipe=small`. timm's is what its train.py does when nothing is asked for:
a DataLoader with `create_transform` (a resized crop of 8 to 100% of the area, mirroring, colour
jitter 0.4 where there are colours), SGD with Nesterov momentum 0.9, lr 0.1 for 256 images, weight
decay 2e-5, a cosine after 5 epochs of warm-up, label smoothing 0.1, batches of 128. As that crop is
harsh for small images, `timm, mild` has 50 to 100% of the area. Seconds per epoch are measured in
turns of `--timed` epochs, so that a slow moment slows all. Then, with what the network keeps, the
difference of the accuracies with its interval over the seeds (Student's t).
"""

import argparse
import random
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from harness import (
    check_finite,
    make_parser,
    mean_interval,
    parse,
    print_foot,
    spread,
)
from image_sets import all_test_images, images_of
from PIL import Image
from timm.data.transforms_factory import transforms_imagenet_train
from timm.loss import LabelSmoothingCrossEntropy  # type: ignore[attr-defined]
from timm.optim import create_optimizer_v2  # type: ignore[attr-defined]
from timm.scheduler import create_scheduler_v2  # type: ignore[attr-defined]
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from blocks.arch import parse_arch
from blocks.network import Network
from scaling.training.run import train
from scaling.training.settings import make_train
from search.data.batches import Batches, prepare
from search.data.face import load_data
from search.data.splits import ImageData
from search.evaluators.process import keep_memory
from search.training.evaluate import evaluate

NETWORK = "r28-i1-s16-[ir_r1_k3_s1_e3_c16|ir_r2_k3_s2_e4_c24_se0.25|ir_r2_k5_s2_e4_c40_se0.25]-h128"
TINY = "r28-i1-s8-[ds_r1_k3_s2_e1_c8]-h16"
OURS, DEFAULT, MILD = "small", "timm", "timm, mild"
SCALES = {DEFAULT: (0.08, 1.0), MILD: (0.5, 1.0)}


@dataclass(frozen=True)
class Reached:
    """Of one training: accuracy on the test images, and seconds of each epoch."""

    accuracy: float
    seconds: list[float]


def main() -> None:
    parser = make_parser(__doc__, seed=0)
    parser.add_argument("--network", default=NETWORK)
    parser.add_argument("--root", help="a folder of classes in place of the embedded images")
    parser.add_argument(
        "--rotations",
        type=int,
        default=1,
        help="parts of the folder, of which each is the test images of one seed after the other",
    )
    parser.add_argument("--test-root", help="folder of Fashion-MNIST's idx files: all test images")
    parser.add_argument("--images", type=int, help="so many of the embedded ones, not all")
    parser.add_argument("--no-flip", action="store_true", help="mirrored images are others")
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--timed", type=int, default=1, help="epochs of a turn of the clock")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--workers", type=int, default=1, help="of timm's DataLoader")
    arguments = parse(parser, epochs=1, seeds=1, turns=1, images=600, network=TINY)
    torch.set_num_threads(1)
    keep_memory()  # of both sides, as the command does
    arch = parse_arch(arguments.network)
    sets = [dataset_of(arguments, rotation) for rotation in range(arguments.rotations)]
    data = images_of(sets[0], arch.resolution)
    names = [OURS, DEFAULT, MILD]
    print(
        f"{arguments.network}, {len(data.train):,} training and {len(data.test):,} test images, "
        f"{arguments.epochs} epochs",
        flush=True,
    )
    turns = [
        {name: run(name, arguments, sets[0], arguments.timed, 0).seconds for name in names}
        for _ in range(arguments.turns)
    ]
    for name in names:
        taken = [np.median(turn[name]) for turn in turns]
        check_finite(f"seconds of an epoch, {name}", taken, low=1e-4)
        ratios = [np.median(turn[name]) / np.median(turn[OURS]) for turn in turns]
        print(f"  {name:12} {np.median(taken):7.2f} s an epoch, {spread(ratios)} times ours")
    reached: dict[str, list[float]] = {name: [] for name in names}
    for seed in range(arguments.seed, arguments.seed + arguments.seeds):
        for name in names:
            found = run(name, arguments, sets[seed % len(sets)], arguments.epochs, seed)
            reached[name].append(found.accuracy)
            print(f"  seed {seed} {name:12} test accuracy {found.accuracy:.4f}", flush=True)
    for name in names:
        check_finite(f"accuracy, {name}", reached[name], low=0, high=1)
    for name in names[1:]:
        apart = 100 * (np.array(reached[OURS]) - np.array(reached[name]))
        low, high = mean_interval(apart)
        print(
            f"recipe=small less {name}: {apart.mean():+.2f} points ({low:+.2f} to {high:+.2f}, "
            f"{len(apart)} seeds)"
        )
    print_foot(arguments, "timm")


def dataset_of(arguments: argparse.Namespace, rotation: int) -> dict[str, Any]:
    """The embedded images, some of them, or those of a folder, as settings."""
    if arguments.root is not None:
        folder = {"name": "imagefolder", "root": arguments.root}
        if arguments.rotations == 1:
            return folder
        data = images_of(folder, parse_arch(arguments.network).resolution)
        return {"name": "npz", "root": str(rotated(data, arguments.rotations, rotation))}
    if arguments.test_root is not None:
        path = all_test_images(arguments.test_root, Path(tempfile.gettempdir()))
        return {"name": "npz", "root": str(path)}
    if arguments.images is None:
        return {"name": "fashion_mnist"}
    path = Path(tempfile.gettempdir()) / f"fashion_mnist_{arguments.images}.npz"
    whole = load_data("fashion_mnist")
    parts = {"train": whole.train, "test": whole.test}
    arrays: dict[str, Any] = {}
    for part, split in parts.items():
        arrays[f"x_{part}"] = split.images[: arguments.images, 0].numpy()
        arrays[f"y_{part}"] = split.labels[: arguments.images].numpy()
    np.savez(path, **arrays)
    return {"name": "npz", "root": str(path)}


def rotated(data: ImageData, parts: int, part: int) -> Path:
    """An npz file whose test images are one of `parts` of all images, of each class as many."""
    splits = (data.train, data.val, data.test)
    images = np.concatenate([each.images.permute(0, 2, 3, 1).numpy() for each in splits])
    labels = np.concatenate([each.labels.numpy() for each in splits])
    order = np.argsort(labels, kind="stable")
    test = np.zeros(len(labels), dtype=bool)
    test[order[part::parts]] = True
    path = Path(tempfile.mkdtemp()) / f"part_{part}.npz"
    arrays: dict[str, Any] = {"x_train": images[~test], "y_train": labels[~test]}
    np.savez(path, **arrays, x_test=images[test], y_test=labels[test])
    return path


def run(
    name: str, arguments: argparse.Namespace, dataset: dict[str, Any], epochs: int, seed: int
) -> Reached:
    """Train by one of the three."""
    if name == OURS:
        return by_recipe(arguments, dataset, epochs, seed)
    resolution = parse_arch(arguments.network).resolution
    data = images_of(dataset, resolution)
    return by_timm(arguments, data, prepare(data, resolution), epochs, seed, SCALES[name])


def by_recipe(
    arguments: argparse.Namespace, dataset: dict[str, Any], epochs: int, seed: int
) -> Reached:
    """`python -m scaling train recipe=small`."""
    recipe: dict[str, Any] = {"name": "small", "epochs": epochs}
    if arguments.no_flip:
        recipe["flip"] = False
    with tempfile.TemporaryDirectory() as folder:
        asked = {
            "study": "bench", "results_dir": folder, "dataset": dataset, "seed": seed,
            "network": arguments.network, "recipe": recipe, "threads": 1,
        }  # fmt: skip
        [trained] = train(make_train(asked)).trained
        log = np.genfromtxt(Path(trained.folder) / "log.csv", delimiter=",", names=True)
    seconds = np.atleast_1d(log["seconds"])
    return Reached(trained.test["accuracy"]["value"], np.diff(seconds, prepend=0.0).tolist())


class Pictures(Dataset[tuple[Tensor, int]]):
    """Training images through timm's transform, as Pillow's images."""

    def __init__(self, data: ImageData, transform: Any) -> None:
        self.images = data.train.images.permute(0, 2, 3, 1).contiguous().numpy()
        self.labels, self.transform = data.train.labels.tolist(), transform

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, number: int) -> tuple[Tensor, int]:
        image = self.images[number]
        picture = Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)
        return self.transform(picture), self.labels[number]


def by_timm(
    arguments: argparse.Namespace,
    data: ImageData,
    batches: Batches,
    epochs: int,
    seed: int,
    scale: tuple[float, float],
) -> Reached:
    """What timm's train.py does with its defaults, by timm's own pieces."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    arch = parse_arch(arguments.network)
    grey = data.in_channels == 1
    transform = transforms_imagenet_train(
        arch.resolution,
        scale=scale,
        hflip=0.0 if arguments.no_flip else 0.5,
        color_jitter=0.0 if grey else 0.4,
        mean=tuple((batches.mean.flatten() / 255).tolist()),
        std=tuple((batches.std.flatten() / 255).tolist()),
    )
    loader: DataLoader[Any] = DataLoader(
        Pictures(data, transform),
        batch_size=min(128, len(data.train)),
        shuffle=True,
        drop_last=True,
        num_workers=arguments.workers,
        persistent_workers=arguments.workers > 0,
    )
    network = Network(arch, data.num_classes)
    rate = 0.1 * 128 / 256
    optimizer = create_optimizer_v2(network, "sgd", lr=rate, momentum=0.9, weight_decay=2e-5)
    schedule, _ = create_scheduler_v2(
        optimizer, "cosine", num_epochs=max(epochs, 6), warmup_epochs=5 if epochs > 5 else 0,
        warmup_lr=1e-5, step_on_epochs=False, updates_per_epoch=len(loader),
    )  # fmt: skip
    lossy: Any = LabelSmoothingCrossEntropy(0.1)  # type: ignore[no-untyped-call]
    best, seconds, updates = (-1.0, 0.0), [], 0
    for _ in range(epochs):
        started = time.perf_counter()
        network.train()
        for images, labels in loader:
            optimizer.zero_grad()
            lossy(network(images), labels).backward()
            optimizer.step()
            updates += 1
            schedule.step_update(updates)
        seconds.append(time.perf_counter() - started)
        val = evaluate(network, batches, batches.val).accuracy
        if val > best[0]:
            best = val, evaluate(network, batches, batches.test).accuracy
    return Reached(best[1], seconds)


if __name__ == "__main__":
    main()
