"""How long a training takes here: a few real steps of random members, and a line in macs."""

import math
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from search.config.schema import RunConfig
from search.config.settled import SettledConfig
from search.data.splits import ImageData
from search.evaluators.train import Evaluation, TrainEvaluator, make_job, outcome
from search.study.memory import rungs

BATCHES: Final = 12
"""Training steps of each timed network, real ones, on real images."""


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


def measure_pace(config: SettledConfig, data: ImageData, spellings: list[str]) -> Pace:
    """Train each for a few steps in the real workers, side by side, and fit a line in macs.

    Raises:
        TrainingError: one failed.
    """
    images = min(len(data.train), BATCHES * config.proxy.batch_size)
    part = replace(data, train=data.train.between(0, images))
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
    if config.pruner == "hyperband":
        brackets += math.floor(
            math.log(config.proxy.whole_epochs / config.min_epochs, factor) + 1e-9
        )
    shares = [
        math.ceil(brackets * factor ** (brackets - 1 - b) / (brackets - b)) for b in range(brackets)
    ]
    rung, bracket = np.arange(len(ends)), np.arange(brackets)[:, None]
    reached = np.average(float(factor) ** -np.maximum(0, rung - bracket), axis=0, weights=shares)
    return float(np.dot(np.diff([0, *ends]), reached)), float(reached.sum())
