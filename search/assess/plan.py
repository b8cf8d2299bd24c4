"""`python -m search plan`: beforehand, what a search will take and what it will be able to tell."""

import math
import resource
import sys
import time
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray
from rich.table import Table
from scipy.optimize import nnls
from scipy.stats import norm

from blocks.arch import parse_arch
from blocks.console import console, duration
from blocks.cost import count
from search.config.schema import RunConfig
from search.data.datasets import load_data
from search.data.splits import ImageData, Split
from search.evaluators.train import Evaluation, TrainEvaluator, make_job, outcome
from search.evaluators.workers import plan_workers
from search.record.trials import derive_seed
from search.space.choices import build_space
from search.space.latency_budget import describe_latency
from search.space.members import SpaceCandidates, draw_members, too_few
from search.study.loop import rungs
from search.study.run import reference_arch
from search.training.device import settle_device
from search.training.train import macs_share

MEMBERS: Final = 8
"""Random architectures that are timed."""
BATCHES: Final = 12
"""Training steps of each, real ones, on real images."""
TYPICAL: Final = 200
"""Random architectures whose predicted seconds are averaged."""
ACCURACIES: Final = (0.5, 0.9)
TAUS: Final = (0.3, 0.5, 0.7)
POWER: Final = 0.8


@dataclass(frozen=True)
class Pace:
    """Seconds of one image in training and in validation: `fixed + per_mac · macs`."""

    train: tuple[float, float]
    validate: tuple[float, float]
    setup: float  # seconds per training besides: building, fvcore's count

    def seconds(
        self,
        macs: int,
        train_images: float,
        val_images: int,
        pieces: float = 1.0,
        share: float = 1.0,
    ) -> float:
        """One worker's time for a training of so many images, all epochs together; of `share` of
        the macs where they are smaller than those of validation."""
        each = self.train[0] + self.train[1] * macs * share
        check = self.validate[0] + self.validate[1] * macs
        return train_images * each + pieces * (self.setup + val_images * check)


def plan(config: RunConfig) -> None:
    """Time a few real training steps, and print hours, memory and statistical resolution.

    Nothing is left on disk.

    Raises:
        ConfigError, DataError, TrainingError: see the messages.
    """
    data = load_data(config.dataset, config.proxy.resolution)
    budget = config.cost_budget
    space = build_space(
        config.space, config.proxy.resolution, data.in_channels, data.num_classes, budget
    )
    candidates = SpaceCandidates(space, budget, data.num_classes)
    config = settle_device(config, candidates, len(data.train))
    config = plan_workers(config, space, data)
    seed = derive_seed(config.seed, "plan")
    timed = draw_members(candidates, MEMBERS, seed)
    if not timed:
        raise too_few(budget, len(timed), 1)
    typical = draw_members(candidates, TYPICAL, seed)
    for line in describe_latency(candidates):
        console.print(line, markup=False)
    console.print(
        f"timing {BATCHES} training steps of {len(timed)} random members, "
        f"{config.workers.count} at once"
    )
    started = time.perf_counter()
    pace = measure_pace(config, data, timed)
    console.print(f"  took {duration(time.perf_counter() - started)}")
    macs = [count(parse_arch(spelling), data.num_classes).macs for spelling in typical]
    console.print(_hours(config, data, pace, macs))
    console.print(_memory(config, data))
    console.print(_resolution(len(data.val), config.fidelity.architectures))


def measure_pace(config: RunConfig, data: ImageData, spellings: list[str]) -> Pace:
    """Train each for a few steps in the real workers, side by side, and fit a line in macs.

    Raises:
        TrainingError: one failed.
    """
    images = min(len(data.train), BATCHES * config.proxy.batch_size)
    part = replace(data, train=Split(data.train.images[:images], data.train.labels[:images]))
    # The first training of a process also loads libraries: its time is not theirs.
    warm = [make_job(spellings[0], 1, config.seed, r) for r in range(config.workers.count)]
    jobs = [make_job(spelling, 1, config.seed) for spelling in spellings]  # at full resolution
    with TrainEvaluator(part, config.training, config.workers) as evaluator:
        for job, future in [(job, evaluator.evaluate(job)) for job in warm]:
            outcome(evaluator, job, future)
        found: list[Evaluation] = [
            outcome(evaluator, job, future)
            for job, future in [(job, evaluator.evaluate(job)) for job in jobs]
        ]
    macs = np.array([one.cost.macs for one in found], dtype=float)
    steps = images // min(config.proxy.batch_size, images) * min(config.proxy.batch_size, images)
    train = _line(macs, np.array([one.seconds["train"] for one in found]) / steps)
    validate = _line(macs, np.array([one.seconds["eval"] for one in found]) / len(data.val))
    return Pace(train, validate, float(np.mean([one.seconds["fvcore"] for one in found])))


def _line(macs: NDArray[np.float64], seconds: NDArray[np.float64]) -> tuple[float, float]:
    """Fixed seconds and seconds per multiply-add, neither below 0, by least squares."""
    scale = float(macs.mean())
    found, _ = nnls(np.stack([np.ones(len(macs)), macs / scale], 1), seconds)
    return float(found[0]), float(found[1]) / scale


def expected_epochs(config: RunConfig) -> tuple[float, float]:
    """Epochs of a mean candidate, and the pieces that they are trained in.

    Of each rung one in `reduction_factor` goes on. Hyperband's bracket b halves from rung b on,
    and takes ceil(n·η^(n−1−b) / (n−b)) of all trials (n brackets, as Optuna divides them).
    """
    ends = rungs(config)
    factor = config.search.reduction_factor
    brackets = 1
    if config.search.pruner == "hyperband":
        brackets += math.floor(
            math.log(config.proxy.epochs / config.search.min_epochs, factor) + 1e-9
        )
    shares = [
        math.ceil(brackets * factor ** (brackets - 1 - b) / (brackets - b)) for b in range(brackets)
    ]
    rung, bracket = np.arange(len(ends)), np.arange(brackets)[:, None]
    reached = np.average(float(factor) ** -np.maximum(0, rung - bracket), axis=0, weights=shares)
    return float(np.dot(np.diff([0, *ends]), reached)), float(reached.sum())


def _hours(config: RunConfig, data: ImageData, pace: Pace, macs: list[int]) -> Table:
    workers = config.workers.count
    epochs, pieces = expected_epochs(config)
    judged = len(data.val)
    if config.evaluator == "supernet":
        judged += config.supernet.calibration_images
    share = macs_share(config.proxy)
    images = config.proxy.epochs * len(data.train)
    per_trial = float(
        np.mean(
            [pace.seconds(one, epochs * len(data.train), judged, pieces, share) for one in macs]
        )
    )
    whole = float(np.mean([pace.seconds(one, images, len(data.val), share=share) for one in macs]))
    final = pace.seconds(
        round(float(np.mean(macs))), config.search.final_epochs * len(data.train), len(data.val)
    )
    reference = reference_arch(config, data.in_channels)
    trials = config.search.trials
    steps = [(f"{trials} trials, {workers} at once", trials * per_trial / workers)]
    if config.needs_supernet:
        seen = config.supernet.epochs * config.supernet.samples * len(data.train)
        spent = float(np.mean([pace.seconds(one, seen, 0) for one in macs]))
        steps.insert(0, ("supernet, as on one thread", spent))
    alone = [final]
    if config.evaluator == "supernet":
        alone.append(whole)
    if reference is not None:
        cost = count(reference, data.num_classes).macs
        alone.append(pace.seconds(cost, images, len(data.val), share=share))
    steps.append(("final B0 and reference", max(sum(alone) / workers, *alone)))
    if config.search.controls:
        steps.append(
            (f"{config.search.controls} controls", config.search.controls * whole / workers)
        )
    table = Table(
        title="Time, of random members of the space (a sampler that finds others good will train "
        "those)",
        title_justify="left",
    )
    table.add_column("step")
    table.add_column("predicted", justify="right")
    for name, seconds in steps:
        table.add_row(name, duration(seconds))
    table.add_row("in all", duration(sum(seconds for _, seconds in steps)), style="bold")
    if pieces > 1:
        table.caption = (
            f"with {config.search.pruner} a mean candidate takes {epochs:.1f} of "
            f"{config.proxy.epochs} epochs"
        )
    if config.search.scale:
        console.print("the scaling grid after the search is not in this plan")
    return table


def _memory(config: RunConfig, data: ImageData) -> str:
    """Peaks of the processes that have just trained, and what all images take more."""
    # ru_maxrss: KiB on Linux, bytes on macOS.
    unit = 1 if sys.platform == "darwin" else 1024
    worker = unit * resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    parent = unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # They held a part of the training split; each keeps all of it at the proxy's resolution, if
    # that is another than the images', and counts its pixels once, eight bytes each.
    count, channels, *size = data.train.images.shape
    resolution = config.proxy.resolution
    pixels = (count - min(count, BATCHES * config.proxy.batch_size)) * resolution**2
    worker += 8 * pixels + (channels * pixels if size != [resolution] * 2 else 0)
    whole = parent + config.workers.count * worker
    return (
        f"memory: about {worker / 2**30:.2f} GiB a worker, {whole / 2**30:.2f} GiB in all "
        "(measured on a part of the images, the others added; what is shared is counted in each)"
    )


def _resolution(val_images: int, architectures: int) -> Table:
    """What this validation split and this number of architectures can tell."""
    table = Table(title="What the numbers will be able to tell", title_justify="left")
    table.add_column("question")
    table.add_column("answer", justify="right")
    for accuracy in ACCURACIES:
        error = math.sqrt(accuracy * (1 - accuracy) / val_images)
        table.add_row(
            f"standard error of an accuracy of {accuracy:.0%} on {val_images} images",
            f"{100 * error:.2f} points",
        )
        table.add_row(
            "  least difference of two networks that counts (95%, unpaired, one training each)",
            f"{100 * norm.ppf(0.975) * math.sqrt(2) * error:.2f} points",
        )
    table.add_row(
        f"Kendall's tau of no relation at n={architectures} (95%)",
        f"±{null_band(architectures):.2f}",
    )
    table.add_row(
        f"  least tau that n={architectures} separates from 0 with {POWER:.0%} power",
        f"{least_tau(architectures):.2f}",
    )
    for tau in TAUS:
        table.add_row(
            f"  architectures that separate tau={tau} from 0", f"n={architectures_for(tau)}"
        )
    table.caption = "tau: normal approximation with the deviation of no relation, on the safe side"
    return table


def null_band(architectures: int) -> float:
    """Half width of the 95% band of Kendall's tau between unrelated orders (Kendall 1938)."""
    return float(norm.ppf(0.975)) * _null_deviation(architectures)


def least_tau(architectures: int) -> float:
    """The tau that a two-sided 5% test tells from 0 with 80% power."""
    return min(1.0, float(norm.ppf(0.975) + norm.ppf(POWER)) * _null_deviation(architectures))


def architectures_for(tau: float) -> int:
    """The least number of architectures whose `least_tau` is at most `tau`.

    Raises:
        ValueError: tau is not between 0 and 1.
    """
    if not 0 < tau < 1:
        raise ValueError(f"tau={tau} is not between 0 and 1")
    number = 3
    while least_tau(number) > tau:
        number += 1
    return number


def _null_deviation(n: int) -> float:
    return math.sqrt(2 * (2 * n + 5) / (9 * n * (n - 1)))
