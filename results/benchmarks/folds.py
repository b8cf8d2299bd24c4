"""Few images: whether candidates should be judged on one fold, or each on a fold of its own.

    python results/benchmarks/folds.py --images 400
    python results/benchmarks/folds.py --root data/sign_digits

Random members of space=tiny are trained by a short proxy with every one of K folds held out, with
two seeds. From these trainings it is replayed what a search would have seen that trains each member
once:

- `same fold`: all are judged on one fold, as on a fixed val split (the mean over which one);
- `own folds`: each on a fold of its own, in turn;
- `own, shrunk`: likewise, less what the members on a fold have in common, as far as that can be
  told from them alone (the best linear prediction of a random effect);
- `own, anchors`: likewise, less the mean of three further members that are trained on every fold;
- `own, known`: likewise, less the fold's mean over all members: more than can be known.

Each order is compared, by Kendall's tau, with the mean loss over all folds by the other seed, and
with the loss on images that are in no fold, by trainings of other folds. Then the same for two
trainings of each: two seeds on one fold, and two folds. Intervals of differences are by the
jackknife over members. Trainings are kept: the same command goes on.

Images are a part of the embedded Fashion-MNIST, or with `--root` a fifth of a folder of classes, as
the bank of signs has it. Those of no fold are all others.
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from harness import check_finite, make_parser, mean_interval, parse, print_foot, results_folder
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
SEEDS = 2
DRAWS = 200
"""Ways in which members are given folds."""
SAME = "same fold"


def main() -> None:
    parser = make_parser(__doc__, seed=0)
    parser.add_argument("--root", type=Path, help="a folder of classes; a fifth of it is used")
    parser.add_argument("--images", type=int, default=400, help="of the embedded ones, in folds")
    parser.add_argument("--resolution", type=int, default=28)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--members", type=int, default=12)
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--target", default="1M", help="macs of every member")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--folder", type=Path, default=Path("results/folds"))
    arguments = parse(
        parser, images=60, folds=3, members=6, epochs=1, target="200k", workers=1, resolution=16
    )
    data = load(arguments)
    members = draw(arguments, data)
    anchors, members = members[:ANCHORS], members[ANCHORS:]
    with results_folder(arguments.folder, arguments.quick) as folder:
        val, test = trained(arguments, data, [*anchors, *members], folder)
    check_finite("losses", [val, test], low=0)
    name = "fashion" if arguments.root is None else arguments.root.name
    print(f"{name}: {len(data.train)} images in {arguments.folds} folds, {len(data.test)} in none")
    report(val[:ANCHORS], val[ANCHORS:], test[ANCHORS:], arguments.seed)
    print_foot(arguments)


def load(arguments: argparse.Namespace) -> ImageData:
    """`train` has all images of the folds, `val` none of them, `test` those of no fold."""
    resolution = arguments.resolution
    if arguments.root is None:
        data = load_data("fashion_mnist", resolution)
        return taken(data, data.train, data.test, arguments.images)
    data = load_data(
        "imagefolder", resolution, root=str(arguments.root), image_size=resolution
    )
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
    workers = SettledWorkers(count=arguments.workers)
    labels = data.train.labels.numpy()
    fold_of = dealt(labels, arguments.folds, np.random.default_rng(1))
    shape = (len(archs), arguments.folds, SEEDS)
    val, test = np.full(shape, np.nan), np.full(shape, np.nan)
    name = "fashion" if arguments.root is None else arguments.root.name
    for fold in range(arguments.folds):
        held_out = replace(
            data,
            train=rows(data.train.images, data.train.labels, fold_of != fold),
            val=rows(data.train.images, data.train.labels, fold_of == fold),
            sha256=f"{data.sha256} {fold}",
        )
        path = folder / f"{name}_{len(labels)}_{arguments.target}_{fold}.jsonl"
        jobs = [
            replace(make_job(arch, arguments.epochs, arguments.seed, fold * SEEDS + seed), test=True)
            for arch in archs
            for seed in range(SEEDS)
        ]
        with TrainEvaluator(held_out, proxy, workers) as evaluator:
            records = run_jobs(evaluator, [(job, path) for job in jobs])
        for number, record in enumerate(records):
            if not isinstance(record, TrialRecord):
                sys.exit(f"error: a training failed: {json.dumps(record.error)}")
            val[number // SEEDS, fold, number % SEEDS] = record.metrics["val_loss"]
            test[number // SEEDS, fold, number % SEEDS] = record.metrics["test_loss"]
    return val, test


def report(anchors: Array, val: Array, test: Array, seed: int) -> None:
    """Print what was found of (members, folds, seeds)."""
    network, fold, both, training = components(val)
    print(
        f"deviations of a loss of {val.mean():.3f}: networks {network:.4f}, folds {fold:.4f}, "
        f"networks by folds {both:.4f}, seeds {training:.4f}"
    )
    for what, truth in (("mean over folds, other seed", None), ("images of no fold", test)):
        whole = taus(anchors, val, truth, seed)
        left = [
            taus(np.delete(anchors, [], 0), np.delete(val, each, 0),
                 None if truth is None else np.delete(truth, each, 0), seed)
            for each in range(len(val))
        ]  # fmt: skip
        print(f"Kendall's tau with: {what}")
        for name, value in whole.items():
            base = "2 seeds, same fold" if name.startswith("2") else SAME
            line = f"  {name:20} {value:.3f} {_interval(value, [each[name] for each in left])}"
            if name != base:
                ahead = value - whole[base]
                lost = [each[name] - each[base] for each in left]
                line += f"; against {base}: {ahead:+.3f} {_interval(ahead, lost)}"
            print(line)


def _interval(value: float, left: list[float]) -> str:
    """95%, by the jackknife."""
    number = len(left)
    found = np.array(left)
    error = np.sqrt((number - 1) / number * ((found - found.mean()) ** 2).sum())
    half = t.ppf(0.975, number - 1) * error
    return f"({value - half:.3f} to {value + half:.3f})"


def components(val: Array) -> tuple[float, float, float, float]:
    """Deviations of networks, of folds, of both together, and of seeds, by the analysis of
    variance of (networks, folds, seeds)."""
    networks, folds, seeds = val.shape
    cells = val.mean(2)
    error = float(val.var(2, ddof=1).mean())
    rest = cells - cells.mean(1, keepdims=True) - cells.mean(0) + cells.mean()
    both = float((rest**2).sum()) / ((networks - 1) * (folds - 1))
    network = float(cells.mean(1).var(ddof=1)) - both / folds
    fold = float(cells.mean(0).var(ddof=1)) - both / networks
    return tuple(  # type: ignore[return-value]
        max(0.0, each) ** 0.5 for each in (network, fold, both - error / seeds, error)
    )


def taus(anchors: Array, val: Array, test: Array | None, seed: int) -> dict[str, float]:
    """Of each way to judge, the tau with the truth: −loss over all folds by the other seed, or of
    the other images by trainings of other folds."""
    number, folds, _ = val.shape
    members = np.arange(number)

    def tau(seen: Array, used: NDArray[np.int64], other: int) -> float:
        """`used`: (members, k) folds of the trainings that were seen."""
        if test is None:
            truth = val[:, :, other].mean(1)
        else:
            free = np.ones((number, folds), dtype=bool)
            free[members[:, None], used] = False
            # What a fold's trainings have in common is no merit of a network.
            centred = test.mean(2) - test.mean((0, 2))
            truth = (centred * free).sum(1) / free.sum(1)
        return float(kendalltau(seen, truth).statistic)

    found: dict[str, list[float]] = {}
    for one in range(SEEDS):
        losses, other = val[:, :, one], 1 - one
        for fold in range(folds):
            used = np.full((number, 1), fold)
            found.setdefault(SAME, []).append(tau(losses[:, fold], used, other))
        for own in assignments(number, folds, seed):
            for name, offsets in ways(anchors[:, :, one], losses, own).items():
                seen = losses[members, own] - offsets[own]
                found.setdefault(name, []).append(tau(seen, own[:, None], other))
    if test is not None:
        for first in range(folds):
            for second in range(first):
                used = np.tile([first, second], (number, 1))
                for fold in (first, second):
                    found.setdefault("2 seeds, same fold", []).append(
                        tau(val[:, fold].mean(1), used, 0)
                    )
                for one in range(SEEDS):
                    pair = (val[:, first, one] + val[:, second, 1 - one]) / 2
                    found.setdefault("2 folds", []).append(tau(pair, used, 0))
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


def assignments(number: int, folds: int, seed: int) -> Iterator[NDArray[np.int64]]:
    """Folds of the members, each as often as any other (±1)."""
    generator = np.random.default_rng(seed)
    for _ in range(DRAWS):
        yield generator.permutation(np.arange(number) % folds)


if __name__ == "__main__":
    main()
