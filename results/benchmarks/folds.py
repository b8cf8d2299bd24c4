"""Few images: whether candidates should be judged on one fold, or each on a fold of its own.

    python results/benchmarks/folds.py --images 400
    python results/benchmarks/folds.py --root data/sign_digits

Random members of space=tiny are trained by a short proxy with every one of K folds held out. From
these trainings it is replayed what a search would have seen that trains each member once:

- `same fold`: all are judged on one fold, as on a fixed val split (the mean over which one);
- `own folds`: each on a fold of its own, in turn;
- `own, shrunk`: likewise, less what the members on a fold have in common, as far as that can be
  told from them alone (the best linear prediction of a random effect);
- `own, anchors`: likewise, less the mean of three further members that are trained on every fold;
- `own, known`: likewise, less the fold's mean over all members: more than can be known.

Each order is compared, by Kendall's tau, with that by the trainings that were not seen, of other
folds: by their mean loss on these folds, and on images that are in no fold. Then the same for two
trainings of each: on two folds, and with `--seeds 2` on one fold with two seeds. Intervals are by
the jackknife over members. Trainings are kept: the same command goes on.

Images are a part of the embedded Fashion-MNIST, or with `--root` a fifth of a folder of classes, as
the bank of signs has it. Those of no fold are all others.
"""

import argparse
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from harness import check_finite, make_parser, parse, print_foot, results_folder
from numpy.typing import NDArray
from scipy.stats import kendalltau, t

from search.config.face import config_from
from search.config.schema import EMA, ProxyConfig
from search.config.settled import SettledWorkers
from search.data.face import load_data
from search.data.splits import ImageData, Split
from search.evaluators.batch import run_jobs
from search.evaluators.train import TrainEvaluator, make_job
from search.record.trials import TrialRecord
from search.space.budget import cost_budget
from search.space.choices import build_space
from search.space.members import SpaceCandidates, draw_members

Array = NDArray[np.float64]
ANCHORS = 3
MOST_SEEDS = 2
SAME = "same fold"


def main() -> None:
    parser = make_parser(__doc__, seed=0)
    parser.add_argument("--root", type=Path, help="a folder of classes; a fifth of it is used")
    parser.add_argument("--images", type=int, default=400, help="of the embedded ones, in folds")
    parser.add_argument("--resolution", type=int, default=28)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--members", type=int, default=12)
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--seeds", type=int, default=1, choices=range(1, MOST_SEEDS + 1))
    parser.add_argument("--draws", type=int, default=200, help="ways to give members folds")
    parser.add_argument("--target", default="1M", help="macs of every member")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--folder", type=Path, default=Path("results/folds"))
    arguments = parse(
        parser, images=60, folds=3, members=4, epochs=1, target="200k", workers=1, resolution=16,
        draws=5,
    )  # fmt: skip
    data = load(arguments)
    members = draw(arguments, data)
    anchors, members = members[:ANCHORS], members[ANCHORS:]
    with results_folder(arguments.folder, arguments.quick) as folder:
        val, test = trained(arguments, data, [*anchors, *members], folder)
    check_finite("losses", [val, test], low=0)
    name = "fashion" if arguments.root is None else arguments.root.name
    print(f"{name}: {len(data.train)} images in {arguments.folds} folds, {len(data.test)} in none")
    report(val[:ANCHORS], val[ANCHORS:], test[ANCHORS:], arguments)
    print_foot(arguments)


def load(arguments: argparse.Namespace) -> ImageData:
    """`train` has all images of the folds, `val` none of them, `test` those of no fold."""
    resolution = arguments.resolution
    if arguments.root is None:
        data = load_data("fashion_mnist", resolution)
        return taken(data, data.train, data.test, arguments.images)
    data = load_data("imagefolder", resolution, root=str(arguments.root), image_size=resolution)
    splits = (data.train, data.val, data.test)
    images = torch.cat([split.images for split in splits])
    labels = torch.cat([split.labels for split in splits])
    part = dealt(labels.numpy(), 5, np.random.default_rng(0)) == 0
    return replace(data, train=rows(images, labels, part), test=rows(images, labels, ~part))


def taken(data: ImageData, train: Split, test: Split, images: int) -> ImageData:
    """With so many images of `train`, as many of each class."""
    place = dealt(train.labels.numpy(), len(train) // images, np.random.default_rng(0))
    return replace(data, train=rows(train.images, train.labels, place == 0), test=test)


def rows(images: torch.Tensor, labels: torch.Tensor, mask: NDArray[np.bool_]) -> Split:
    """Some of a split."""
    chosen = torch.from_numpy(np.flatnonzero(mask))
    pixels = images.permute(0, 2, 3, 1).index_select(0, chosen).permute(0, 3, 1, 2)
    return Split(pixels, labels[chosen])


def dealt(
    labels: NDArray[np.int64], parts: int, generator: np.random.Generator
) -> NDArray[np.int64]:
    """A part for each image, those of a class in equal shares."""
    place = np.zeros(len(labels), dtype=np.int64)
    dealt_out = 0
    for label in np.unique(labels):
        here = generator.permutation(np.flatnonzero(labels == label))
        place[here] = (dealt_out + np.arange(len(here))) % parts
        dealt_out += len(here)
    return place


def draw(arguments: argparse.Namespace, data: ImageData) -> list[str]:
    """Anchors and members of the space."""
    config = config_from(
        space="tiny", budget={"target": arguments.target},
        proxy={"resolution": arguments.resolution},
    )  # fmt: skip
    budget = cost_budget(config)
    space = build_space(
        config.space, arguments.resolution, data.in_channels, data.num_classes, budget
    )
    candidates = SpaceCandidates(space, budget, data.num_classes)
    return draw_members(candidates, ANCHORS + arguments.members, arguments.seed)


def trained(
    arguments: argparse.Namespace, data: ImageData, archs: list[str], folder: Path
) -> tuple[Array, Array]:
    """Losses (networks, folds, seeds) on the fold that was held out, and on the other images."""
    proxy = ProxyConfig(
        epochs=arguments.epochs, resolution=arguments.resolution, ema=EMA, precision="fp32",
        flip=arguments.root is None,
    )  # fmt: skip
    fold_of = dealt(data.train.labels.numpy(), arguments.folds, np.random.default_rng(1))
    images, labels = data.train.images, data.train.labels
    data = replace(
        data,
        train=rows(images, labels, fold_of > 0),
        val=rows(images, labels, fold_of == 0),
        folds=torch.from_numpy(fold_of[fold_of > 0]),
    )
    name = "fashion" if arguments.root is None else arguments.root.name
    path = folder / f"{name}_{len(labels)}_{arguments.target}.jsonl"
    jobs = [
        replace(
            make_job(arch, arguments.epochs, arguments.seed, fold * MOST_SEEDS + seed),
            test=True, fold=fold,
        )
        for fold in range(arguments.folds)
        for arch in archs
        for seed in range(arguments.seeds)
    ]  # fmt: skip
    with TrainEvaluator(data, proxy, SettledWorkers(count=arguments.workers)) as evaluator:
        records = run_jobs(evaluator, [(job, path) for job in jobs])
    losses = []
    for record in records:
        if not isinstance(record, TrialRecord):
            sys.exit(f"error: a training failed: {record.error}")
        losses.append([record.metrics["val_loss"], record.metrics["test_loss"]])
    shape = (arguments.folds, len(archs), arguments.seeds, 2)
    val, test = np.moveaxis(np.array(losses).reshape(shape).swapaxes(0, 1), 3, 0)
    return val, test


def report(anchors: Array, val: Array, test: Array, arguments: argparse.Namespace) -> None:
    """Print what was found of (members, folds, seeds)."""
    network, fold, rest = components(val.mean(2))
    print(
        f"deviations of a loss of {val.mean():.3f}: networks {network:.4f}, folds {fold:.4f}, rest "
        f"{rest:.4f}"
    )
    for what, truth in (("other folds", val), ("images of no fold", test)):
        whole = taus(anchors, val, truth, arguments)
        left = [
            taus(anchors, np.delete(val, each, 0), np.delete(truth, each, 0), arguments)
            for each in range(len(val))
        ]
        print(f"Kendall's tau with the loss on {what}")
        for name, value in whole.items():
            line = f"  {name:20} {value:.3f} {_interval(value, [each[name] for each in left])}"
            if name != SAME:
                ahead = [each[name] - each[SAME] for each in left]
                difference = value - whole[SAME]
                line += f"; against {SAME}: {difference:+.3f} {_interval(difference, ahead)}"
            print(line)


def _interval(value: float, left: list[float]) -> str:
    """95%, by the jackknife."""
    number, found = len(left), np.array(left)
    error = np.sqrt((number - 1) / number * ((found - found.mean()) ** 2).sum())
    half = t.ppf(0.975, number - 1) * error
    return f"({value - half:.3f} to {value + half:.3f})"


def components(cells: Array) -> tuple[float, float, float]:
    """Deviations of networks, of folds and of the rest, by the analysis of variance of (networks,
    folds)."""
    networks, folds = cells.shape
    left = cells - cells.mean(1, keepdims=True) - cells.mean(0) + cells.mean()
    rest = float((left**2).sum()) / ((networks - 1) * (folds - 1))
    network = float(cells.mean(1).var(ddof=1)) - rest / folds
    fold = float(cells.mean(0).var(ddof=1)) - rest / networks
    return max(0.0, network) ** 0.5, max(0.0, fold) ** 0.5, rest**0.5


def taus(
    anchors: Array, val: Array, truth: Array, arguments: argparse.Namespace
) -> dict[str, float]:
    """Of each way to judge, the tau with the mean of `truth` over the trainings of other folds."""
    number, folds, seeds = val.shape
    members = np.arange(number)
    # What a fold's trainings have in common is no merit of a network.
    centred = truth.mean(2) - truth.mean((0, 2))
    found: dict[str, list[float]] = {}

    def add(name: str, seen: Array, used: NDArray[np.int64]) -> None:
        """`used`: (members, k) folds of the trainings that were seen."""
        free = np.ones((number, folds), dtype=bool)
        free[members[:, None], used] = False
        known = (centred * free).sum(1) / free.sum(1)
        found.setdefault(name, []).append(float(kendalltau(seen, known).statistic))

    for seed in range(seeds):
        losses = val[:, :, seed]
        for fold in range(folds):
            add(SAME, losses[:, fold], np.full((number, 1), fold))
        for own in assignments(number, folds, arguments):
            for name, offsets in ways(anchors[:, :, seed], losses, own).items():
                add(name, losses[members, own] - offsets[own], own[:, None])
    for first in range(folds):
        for second in range(first):
            used = np.tile([first, second], (number, 1))
            if seeds > 1:
                for fold in (first, second):
                    add("2 seeds, same fold", val[:, fold].mean(1), used)
            for seed in range(seeds):
                pair = val[:, first, seed] + val[:, second, seeds - 1 - seed]
                add("2 folds", pair / 2, used)
    return {name: float(np.nanmean(values)) for name, values in found.items()}


def ways(anchors: Array, losses: Array, own: NDArray[np.int64]) -> dict[str, Array]:
    """What is subtracted of each fold, (folds,), by each way."""
    number, folds = losses.shape
    seen = losses[np.arange(number), own]
    count = np.bincount(own, minlength=folds)
    means = np.bincount(own, seen, folds) / np.maximum(count, 1)
    inside = float(((seen - means[own]) ** 2).sum()) / max(1, number - folds)
    between = max(0.0, float((means[count > 0]).var(ddof=1)) - inside / float(count.mean()))
    shrink = between / (between + inside / np.maximum(count, 1) + 1e-12)
    return {
        "own folds": np.zeros(folds),
        "own, shrunk": shrink * (means - seen.mean()),
        "own, anchors": anchors.mean(0) - anchors.mean(),
        "own, known": losses.mean(0) - losses.mean(),
    }


def assignments(
    number: int, folds: int, arguments: argparse.Namespace
) -> Iterator[NDArray[np.int64]]:
    """Folds of the members, each as often as any other (±1)."""
    generator = np.random.default_rng(arguments.seed)
    for _ in range(arguments.draws):
        yield generator.permutation(np.arange(number) % folds)


if __name__ == "__main__":
    main()
