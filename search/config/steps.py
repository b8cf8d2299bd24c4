"""Settings of steps beside the trials: `search fidelity`, and the supernet."""

from dataclasses import dataclass


@dataclass(frozen=True)
class FidelityConfig:
    """What `python -m search fidelity` trains."""

    architectures: int = 24  # random members
    epochs: int | None = None  # of the long schedule; null: 3 × proxy.epochs
    seeds: int = 3  # of the repeated ones
    repeated: int = 4  # architectures that are trained with all of the seeds
    supernet: bool = False  # judge them by the supernet too, as evaluator=supernet does


@dataclass(frozen=True)
class SupernetConfig:
    """How the supernet is trained, beside the proxy's batches, augmentation and weight decay, and
    how candidates are judged by it."""

    epochs: int = 18  # of the supernet
    samples: int = 4  # random members that train on each batch
    lr: float = 0.02  # of AdamW
    warmup_fraction: float = 0.2  # share of the steps in which lr rises
    distil: bool = False  # all but the largest of a batch learn what it answers, not the labels
    ema: float = 0.99  # decay per step of averaged weights; 0: none
    calibration_images: int = 1024  # training images that batch norm is measured on
