"""The settings of `python -m scaling train`; `python -m scaling train --help` shows the comments.

Images are those of a study, or what `dataset=…` and `task=…` say, as `search run` takes them:
these are settings of `search.config.schema`.
"""

from dataclasses import dataclass, field
from typing import Any, Final

from search.config.build import build
from search.config.options import option

RECIPE: Final = "small"
"""Unless another is named."""


@dataclass(frozen=True)
class RecipeConfig:
    """How a network is trained; what a named recipe sets beside these is in `conf/recipe`."""

    name: str = RECIPE  # of the recipe, which recipe=NAME sets too
    epochs: int = 40  # passes over the training images
    batch_size: int = 64  # images of a step, of all devices together
    optimizer: str = "adamw"  # any name of timm's: adamw | sgd | rmsproptf | lamb | muon | …
    lr: float = 0.02  # the highest, after warm-up
    momentum: float = 0.9  # of optimizers that have one
    eps: float | None = None  # of the optimizer; null: its own
    weight_decay: float = 0.05  # of the weights of convolutions and the classifier
    schedule: str = "cosine"  # any name of timm's: cosine | step | poly | wsd | constant | …
    warmup_epochs: float = 4  # in which lr rises; part of the epochs, at most half of them
    warmup_lr: float = 0.0  # where it rises from
    min_lr: float = 0.0  # where it falls to
    decay_epochs: float | None = None  # of schedule=step: epochs between two falls
    decay_rate: float = 0.1  # of schedule=step: what each fall multiplies lr by
    ema: float = 0.0  # decay per step of averaged weights, less in the first steps; 0: none
    label_smoothing: float = 0.0  # share of each label spread over all classes
    class_weights: str = "none"  # none | balanced | effective, as proxy.class_weights
    balanced_batches: bool = False  # an epoch has as many images of each class
    dropout: float | None = 0.0
    # before the classifier; null: by size, 0.2 of b0 to 0.5 of b7
    drop_path: float = 0.0  # probability of leaving out the last residual block; less before
    drop_block: float = 0.0  # probability at the end of training, which it rises to
    drop_block_size: int = 7  # side of a dropped block in map elements, odd
    drop_block_shape: str = "square"  # square | circle
    flip: bool | None = None  # images left to right, at random; null: the study's, else true
    crop: str = "pad"  # pad: shifted by crop_padding | resized: a part of the image, enlarged
    crop_padding: int | None = None  # pixels around an image; null: a twelfth of its side
    crop_scale: float = 0.08  # of crop=resized: the least share of the image's area
    rand_augment: float = 0.0
    # magnitude up to 10 of a colour and a geometric change per image, whole batches at once
    policy: str | None = None
    # image by image: ta_wide | auto_augment (torchvision's), or any of timm's, such as
    # rand-m9-mstd0.5, original, augmix-m5
    erasing: float = 0.0  # probability that a rectangle of an image becomes noise
    cutout: int = 0  # pixels, the side of a square of the mean colour
    mixup: float = 0.0  # α of Beta(α, α)
    cutmix: float = 0.0  # α; with mixup each batch gets one of the two
    start_resolution: float = 1.0  # share of the resolution in the first epoch; the last has all
    start_regularisation: float = 1.0
    # share of dropout, rand_augment, mixup, and the strength of policies such as rand-m9, in the
    # first epoch; the last has all
    clip: float | None = None  # the most that the norm of all gradients may be; null: no bound
    accumulate: int = 1  # parts that a batch is computed in, one after the other
    patience: int | None = None  # epochs without a better one after which it ends; null: never


def recipe_named(name: str) -> RecipeConfig:
    """A recipe of `conf/recipe`.

    Raises:
        ConfigError: there is none of this name; names the nearest.
    """
    return build(RecipeConfig, option("recipe", name), "recipe")


@dataclass(frozen=True)
class DistilConfig:
    """How much a student learns of its teacher, and what."""

    alpha: float = 0.5  # share of the loss that is the teacher's; the rest is the labels'
    temperature: float = 4.0  # that both's logits are divided by
    features: float = 0.0  # weight of the difference of what comes before the classifiers


@dataclass(frozen=True)
class TrainConfig:
    """All settings of `python -m scaling train`, but for those of the images."""

    study: str | None = None  # whose images and family; without dataset=…: main
    results_dir: str = "results"  # folder of the studies
    network: str | None = None  # a YAML file, a published network or a spelling, not a member
    member: str | None = None  # b0 | b3 | b0..b3 | b0,b2 | all, of the study; null: b0
    rivals: list[str] = field(default_factory=list)
    # published networks, each brought to the images and macs of every member, and trained too
    name: str | None = None  # of the folder under trained; null: the member's, or the network's
    resolution: Any = None
    # pixels, of a side, or height and width as 96x192; null: the network's own
    seed: int = 0  # the same seed, the same network
    weights: str | None = None  # a file of weights to start from, of any known layout
    start: str | None = None  # a trained member, b1 or its folder, to grow from | supernet
    teacher: str | None = None  # a trained member, b3 or its folder, or timm:NAME
    teacher_weights: str | None = None  # of timm:NAME, a file
    compare: str | None = None
    # pretrain: also from random weights | teacher: also without it; one table
    device: str = "auto"  # cpu | cuda | auto: cuda where there is one
    precision: str = "auto"  # fp32 | bf16 | fp16 | auto: what a measurement finds faster
    kernels: str = "auto"  # auto: compiled operators on the CPU | torch
    compile: bool = False  # by torch.compile
    threads: int | None = None  # of the CPU; null: one or all cores, as a measurement finds faster
    stream: bool | None = None
    # whether image files are read anew in each epoch, and not decoded once; null: where neither
    # the cache's disk nor memory has room for them
    loaders: int | None = None  # processes that read or change images one by one; null: by cores
    sync_norm: bool = True  # with torchrun: batch norm over the batch of all processes
    checkpoint_minutes: float = 5.0  # between two checkpoints within an epoch
    fresh: bool = False  # begin anew where a training of other settings was left
    recipe: RecipeConfig = field(default_factory=lambda: recipe_named(RECIPE))
    distil: DistilConfig = field(default_factory=DistilConfig)


def bare_train() -> TrainConfig:
    """The defaults below those of any named recipe."""
    return TrainConfig(recipe=RecipeConfig())
