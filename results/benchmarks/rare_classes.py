"""Where classes are of very different size: what search.metric and class weights are worth.

    python results/benchmarks/rare_classes.py --seeds 5

Of the embedded Fashion-MNIST, train and val are cut so that the sizes of the classes fall
geometrically from all images to one in `--ratio`; which class is how rare differs by seed. The test
images stay as many of each class. For every seed three searches with the same budget: as by default
(by loss, which counts images alike), with search.metric=balanced_accuracy, and with
proxy.class_weights=balanced too. The B0 of each is trained anew by its search's own proxy, for
`--epochs` with `--judges` seeds that no search has seen, and judged by balanced accuracy on the
test images (with `--test-root` on all 10,000 of Fashion-MNIST). Differences are paired by seed.
Searches are kept: the same command goes on.
"""

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from harness import check_finite, make_parser, mean_interval, parse, print_foot, results_folder
from numpy.typing import NDArray
from opening import with_test_images

from blocks.latency.device import torch_threads
from search.config.compose import compose_config, quote
from search.config.schema import DatasetConfig, RunConfig
from search.data.classes import images_by_class
from search.data.datasets import load_data
from search.data.splits import Split
from search.evaluators.train import make_job, run_job
from search.record.folder import StudyFolder
from search.study.baseline import read_baseline
from search.study.run import search
from search.study.settle import settle

METRIC = "search.metric=balanced_accuracy"
ARMS = {
    "default": [],
    "metric": [METRIC],
    "metric_weights": [METRIC, "proxy.class_weights=balanced"],
}
QUICK = ["sampler=random", "space=tiny", "search.finalists=1", "search.final_epochs=1"]
NEW = 10_000
"""Seed of the judges' trainings, from which no search starts."""


def main() -> None:
    parser = make_parser(__doc__, seed=0)
    parser.add_argument("--test-root", help="folder of the idx files of Fashion-MNIST")
    parser.add_argument("--workers", type=int, default=0, help="trainings at once; 0: as planned")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--arms", nargs="+", default=list(ARMS), choices=list(ARMS))
    parser.add_argument("--ratio", type=float, default=50.0, help="largest over smallest class")
    parser.add_argument("--largest", type=int, help="images of the largest class; all of it")
    parser.add_argument("--target", default="500k", help="macs of every candidate")
    parser.add_argument("--trials", type=int, default=12)
    parser.add_argument("--proxy-epochs", type=int, default=12)
    parser.add_argument("--epochs", type=int, default=16, help="of the judges")
    parser.add_argument("--judges", type=int, default=2, help="trainings of every found network")
    parser.add_argument("--folder", type=Path, default=Path("results/rare_classes"))
    arguments = parse(
        parser, workers=1, seeds=1, arms=["default", "metric_weights"], largest=60, ratio=10.0,
        target="200k", trials=2, proxy_epochs=1, epochs=1, judges=1,
    )  # fmt: skip
    with results_folder(arguments.folder, arguments.quick) as folder:
        reached = np.array(
            [
                [judged(arm, seed, folder, arguments) for arm in arguments.arms]
                for seed in range(arguments.seed, arguments.seed + arguments.seeds)
            ]
        )
    report(reached, arguments.arms)
    print_foot(arguments)


def judged(arm: str, seed: int, folder: Path, arguments: argparse.Namespace) -> tuple[float, float]:
    """Search, and train what was found: balanced accuracy and accuracy on the test images."""
    images = folder / f"images_{seed}.npz"
    if not images.exists():
        write_images(images, seed, arguments)
    config = compose_config("config", settings(arm, seed, images, folder, arguments), RunConfig)
    study = StudyFolder(config.results_dir, config.study)
    if not (study / "b0.yaml").exists():
        search(config)
    opened = settle(config, study)
    data = with_test_images(opened.data, arguments.test_root, opened.config.proxy.resolution)
    arch = str(read_baseline(study).arch)
    jobs = [
        replace(make_job(arch, arguments.epochs, NEW + seed, judge), test=True, long=True)
        for judge in range(arguments.judges)
    ]
    with torch_threads(1):
        judges = [run_job(job, data, opened.config.training).metrics for job in jobs]
    names = ("test_balanced_accuracy", "test_accuracy")
    found = [[100 * metrics[name] for name in names] for metrics in judges]
    check_finite("test accuracies", found, low=5, high=100)
    balanced, plain = (float(value) for value in np.mean(found, axis=0))
    images_of = images_by_class(data.train, data.num_classes)
    print(
        f"seed {seed}, {arm}: balanced test accuracy {balanced:.2f}, {min(images_of)} to "
        f"{max(images_of)} training images a class, {arch}",
        flush=True,
    )
    return balanced, plain


def settings(
    arm: str, seed: int, images: Path, folder: Path, arguments: argparse.Namespace
) -> list[str]:
    """Those of a search, as on its command line."""
    return [
        *("dataset=npz", f"dataset.root={quote(images)}", f"results_dir={quote(folder)}"),
        *(f"study={arm}_{seed}", f"seed={seed}", f"workers.count={arguments.workers}"),
        *(f"budget.target={arguments.target}", f"search.trials={arguments.trials}"),
        *(f"proxy.epochs={arguments.proxy_epochs}", "proxy.precision=fp32"),
        *("search.controls=0", "search.references=[]", "search.scale=false"),
        *(QUICK if arguments.quick else []),
        *ARMS[arm],
    ]


def write_images(path: Path, seed: int, arguments: argparse.Namespace) -> None:
    """The embedded images, train and val cut by class."""
    data = load_data(DatasetConfig(name="fashion_mnist"), 28)
    rank = np.random.default_rng(seed).permutation(data.num_classes)
    share = arguments.ratio ** (-rank / (data.num_classes - 1))
    largest = max(images_by_class(data.train, data.num_classes))
    share = share * min(1.0, (arguments.largest or largest) / largest)
    arrays: dict[str, Any] = {}
    for name, split in (("train", data.train), ("val", data.val), ("test", data.test)):
        part = split if name == "test" else cut(split, share)
        arrays[f"x_{name}"] = part.images.permute(0, 2, 3, 1).numpy()[..., 0]
        arrays[f"y_{name}"] = part.labels.numpy()
    np.savez(path, **arrays)


def cut(split: Split, share: NDArray[np.float64]) -> Split:
    """Of each class the first images, by its share; two at least."""
    rows = torch.cat(
        [
            members[: max(2, round(float(share[number]) * len(members)))]
            for number in range(len(share))
            for members in [(split.labels == number).nonzero().flatten()]
        ]
    )
    return Split(split.images[rows], split.labels[rows])


def report(reached: NDArray[np.float64], arms: list[str]) -> None:
    """Means over the seeds of (seeds, arms, 2), and differences to the first arm."""
    for place, name in enumerate(arms):
        balanced, plain = reached[:, place].mean(0)
        print(f"{name}: balanced test accuracy {balanced:.2f}, accuracy {plain:.2f}")
    for place, name in list(enumerate(arms))[1:]:
        gain = reached[:, place, 0] - reached[:, 0, 0]
        low, high = mean_interval(gain)
        print(
            f"{name} less {arms[0]}: {gain.mean():+.2f} points of balanced test accuracy "
            f"({low:+.2f} to {high:+.2f}, 95%, t, {len(gain)} seeds)"
        )


if __name__ == "__main__":
    main()
