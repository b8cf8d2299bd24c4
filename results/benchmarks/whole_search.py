"""Completed trials an hour: our search against the straightforward script, on the same networks.

    python results/benchmarks/whole_search.py --repeats 3 --trials 4

The straightforward script is `straightforward` below: Optuna, timm's blocks, a torchvision
DataLoader, fvcore, in one process with PyTorch's defaults, as a good engineer writes it first. Ours
are the worker processes of `python -m search run` by its defaults, and its records on disk. Both
train the same random members of `space=tiny` on the shipped images for the same epochs with the
same batch size, optimiser and schedule, and validate on the same split; they take turns, with other
networks in each repeat. Start-up is left out on both sides: the clock starts when the first
training may. With `--long-epochs N` all networks are then trained for N epochs, by ours, and
Kendall's tau of both against their test accuracy is compared by a paired bootstrap.
"""

import math
import multiprocessing
import tempfile
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import optuna
import torch
import torch.nn.functional as F
from fvcore.nn import FlopCountAnalysis
from harness import check_finite, make_parser, parse, print_foot
from opening import add_search_arguments, first_images, open_search, trained
from PIL import Image
from scipy.stats import kendalltau
from timm_network import timm_network
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from blocks.arch import parse_arch
from search.assess.statistics import kendall_difference
from search.config.compose import compose_config
from search.config.schema import RunConfig
from search.config.settled import SettledConfig
from search.data.datasets import load_data
from search.data.splits import ImageData, Split
from search.evaluators.batch import run_jobs
from search.evaluators.train import TrainEvaluator, make_job
from search.space.members import draw_members


def main() -> None:
    parser = make_parser(__doc__, seed=0)
    add_search_arguments(parser)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--trials", type=int, default=4, help="networks of each repeat")
    parser.add_argument("--loader-workers", type=int, default=2, help="of the DataLoader")
    parser.add_argument("--long-epochs", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=4, help="of every training")
    arguments = parse(
        parser,
        workers=1,
        images=500,
        repeats=1,
        trials=2,
        loader_workers=0,
        long_epochs=1,
        epochs=1,
    )
    settings = [f"seed={arguments.seed}", f"proxy.epochs={arguments.epochs}"]
    # The script only mirrors its images.
    opened = open_search([*settings, "proxy.crop_padding=0"], arguments)
    config, data = opened.config, opened.data
    spellings = draw_members(opened.members, arguments.repeats * arguments.trials, arguments.seed)
    ratios: list[float] = []
    accuracies: dict[str, list[float]] = {"ours": [], "straightforward": []}
    # A process of its own, as a script has.
    with (
        TrainEvaluator(data, config.training, config.workers) as evaluator,
        ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as script,
    ):
        warm = [make_job(spellings[0], 1, 1, replicate) for replicate in range(2)]
        for future in [evaluator.evaluate(job) for job in warm]:
            future.result()
        for repeat in range(arguments.repeats):
            some = spellings[repeat * arguments.trials : (repeat + 1) * arguments.trials]
            found, ours_seconds = ours(some, evaluator, config)
            accuracies["ours"] += found
            work = script.submit(
                straightforward,
                some,
                arguments.seed,
                arguments.loader_workers,
                arguments.epochs,
                arguments.images,
            )
            found, seconds = work.result()
            accuracies["straightforward"] += found
            ratios.append(seconds / ours_seconds)
            print(
                f"repeat {repeat + 1}: {len(some)} trials, ours "
                f"{3600 * len(some) / ours_seconds:.0f} an hour, straightforward "
                f"{3600 * len(some) / seconds:.0f}: {ratios[-1]:.2f} times",
                flush=True,
            )
    print(
        f"ours completes {np.median(ratios):.2f} times the trials an hour ({min(ratios):.2f}–"
        f"{max(ratios):.2f}, {arguments.repeats} repeats); mean val accuracy "
        + ", ".join(f"{name} {np.mean(each):.4f}" for name, each in accuracies.items())
    )
    if arguments.long_epochs:
        compare_orders(spellings, data, config, accuracies, arguments.long_epochs)
    for name, each in accuracies.items():
        check_finite(f"accuracies, {name}", each, low=0.02, high=1)
    print_foot(arguments, "timm")


def ours(
    spellings: list[str], evaluator: TrainEvaluator, config: SettledConfig
) -> tuple[list[float], float]:
    """Validation accuracies, and seconds."""
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "trials.jsonl")
        jobs = [make_job(each, config.proxy.epochs, config.seed) for each in spellings]
        records = trained(run_jobs(evaluator, [(job, path) for job in jobs]))
    seconds = time.perf_counter() - started
    return [record.metrics["val_accuracy"] for record in records], seconds


class Images(Dataset[tuple[Tensor, int]]):
    """A split as PIL images behind torchvision transforms."""

    def __init__(self, split: Split, transform: Callable[[Image.Image], Tensor]) -> None:
        self.images = [Image.fromarray(image[0].numpy()) for image in split.images]
        self.labels = split.labels.tolist()
        self.transform = transform

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(self.images[index]), self.labels[index]


def straightforward(
    spellings: list[str], seed: int, loader_workers: int, epochs: int, images: int | None
) -> tuple[list[float], float]:
    """The first script that comes to mind: validation accuracies, and seconds."""
    warnings.simplefilter("ignore")
    config = compose_config("config", [], RunConfig)
    proxy = replace(config.proxy, epochs=epochs)
    data = first_images(load_data(config.dataset, proxy.resolution), images)

    normalise = [transforms.ToTensor(), transforms.Normalize((0.2860,), (0.3530,))]
    augment = transforms.Compose([transforms.RandomHorizontalFlip(), *normalise])
    train_set = Images(data.train, augment)
    val_set = Images(data.val, transforms.Compose(normalise))

    def objective(trial: optuna.Trial) -> float:
        spelling = trial.suggest_categorical("arch", spellings)
        torch.manual_seed(seed)
        model = timm_network(parse_arch(spelling), data.num_classes)
        model.eval()
        flops = FlopCountAnalysis(model, torch.zeros(1, 1, proxy.resolution, proxy.resolution))
        flops.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
        trial.set_user_attr("flops_fvcore", flops.total())
        keep = loader_workers > 0
        loader = DataLoader(
            train_set, proxy.batch_size, shuffle=True, drop_last=True,
            num_workers=loader_workers, persistent_workers=keep,
            multiprocessing_context="fork" if keep else None,
        )  # fmt: skip
        optimizer = torch.optim.AdamW(model.parameters(), proxy.lr, weight_decay=proxy.weight_decay)
        steps = proxy.epochs * len(loader)
        warm = proxy.warmup_fraction * steps
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer,
            lambda step: (
                (step + 1) / math.ceil(warm)
                if step < warm
                else 0.5 * (1 + math.cos(math.pi * (step - warm) / (steps - warm)))
            ),
        )
        for _ in range(proxy.epochs):
            model.train()
            for images, labels in loader:
                loss = F.cross_entropy(model(images), labels, label_smoothing=proxy.label_smoothing)
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                schedule.step()
        model.eval()
        correct = 0
        with torch.no_grad():
            for images, labels in DataLoader(val_set, 256):
                correct += (model(images).argmax(1) == labels).sum().item()
        return correct / len(val_set)

    started = time.perf_counter()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed))
    for spelling in spellings:
        study.enqueue_trial({"arch": spelling})
    study.optimize(objective, n_trials=len(spellings))
    return [float(trial.values[0]) for trial in study.trials], time.perf_counter() - started


def compare_orders(
    spellings: list[str],
    data: ImageData,
    config: SettledConfig,
    accuracies: dict[str, list[float]],
    epochs: int,
) -> None:
    """Kendall's tau of both against a long training, and their paired difference."""
    with TrainEvaluator(data, config.training, config.workers) as evaluator:
        futures = [
            evaluator.evaluate(
                replace(make_job(spelling, epochs, config.seed, replicate=1), long=True, test=True)
            )
            for spelling in spellings
        ]
        long = np.array([future.result().metrics["test_accuracy"] for future in futures])
    found = {name: np.array(values) for name, values in accuracies.items()}
    less = kendall_difference(found["ours"], found["straightforward"], long)
    taus = {name: kendalltau(each, long).statistic for name, each in found.items()}
    print(
        f"Kendall's tau against {epochs} epochs, {len(long)} networks, {len(data.test)} images: "
        + ", ".join(f"{name} {tau:.2f}" for name, tau in taus.items())
        + f"; ours less the other {less.value:+.2f} "
        f"({less.interval[0]:+.2f} to {less.interval[1]:+.2f}, 95%, paired bootstrap)"
    )


if __name__ == "__main__":
    main()
