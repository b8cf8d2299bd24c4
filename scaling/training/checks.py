"""What of a training's settings types cannot say."""

import math
from collections.abc import Iterator
from typing import Final

from blocks.arch import size_from
from blocks.drop_block import SHAPES
from blocks.names import choose, counted
from blocks.zoo import find_arch
from scaling.compound import ScalingError
from scaling.training.config import RecipeConfig, TrainConfig
from search.config.checks import validate_study_name

PRECISIONS: Final = ("auto", "fp32", "bf16", "fp16")
COMPARED: Final = ("pretrain", "teacher")
POLICIES: Final = ("ta_wide", "auto_augment")
"""torchvision's; any other name is timm's."""
MOST: Final = 4096
"""Pixels of a side."""
_PROBABILITIES: Final = ("dropout", "drop_path", "drop_block", "erasing", "label_smoothing")


def validate_train(config: TrainConfig) -> None:
    """Check what types cannot say.

    Raises:
        ScalingError: names the setting, its value, and what was expected.
    """
    for name, text in (("study", config.study), ("name", config.name)):
        if text is not None:
            _named(name, text)
    for name, word, words in (
        ("precision", config.precision, PRECISIONS),
        ("device", config.device, ("auto", "cpu", "cuda")),
        ("kernels", config.kernels, ("auto", "torch")),
        ("recipe.class_weights", config.recipe.class_weights, ("none", "balanced", "effective")),
        ("recipe.crop", config.recipe.crop, ("pad", "resized")),
        ("recipe.drop_block_shape", config.recipe.drop_block_shape, SHAPES),
    ):
        choose(name, word, words, ScalingError, lead="")
    if config.compare is not None:
        choose("compare", config.compare, COMPARED, ScalingError, lead="")
    for name, value, least, most in _bounds(config):
        if value is not None and not (math.isfinite(value) and least <= value <= most):
            upto = f" to {most:g}" if math.isfinite(most) else " or more"
            raise ScalingError(f"{name}={value:g} is not a number of {least:g}{upto}")
    if config.resolution is not None and size_from(config.resolution, "resolution").longer > MOST:
        raise ScalingError(f"resolution={config.resolution} is too large; expected up to {MOST}")
    _check_recipe(config.recipe)
    if config.network is not None and config.member is not None:
        raise ScalingError(
            f"a network ({config.network}) and member={config.member} are given; expected one"
        )
    for rival in config.rivals:
        find_arch(rival)
    if config.rivals and (config.network is not None or config.name is not None):
        raise ScalingError("rivals= are of a study's members; expected member=b0 or more of them")
    if config.weights is not None and config.start is not None:
        raise ScalingError("weights= and start= are given; a network starts from one of them")
    if config.compare == "pretrain" and config.weights is None and config.start is None:
        raise ScalingError("compare=pretrain has no weights= or start= to begin with")
    if config.compare == "teacher" and config.teacher is None:
        raise ScalingError("compare=teacher has no teacher=; expected a trained member")
    from_timm = config.teacher is not None and config.teacher.startswith("timm:")
    if from_timm != (config.teacher_weights is not None):
        raise ScalingError(
            f"teacher={config.teacher} with teacher_weights={config.teacher_weights}: a file "
            "belongs to timm:NAME, which needs one"
        )


def check_processes(config: TrainConfig) -> None:
    """Refuse what several processes of one training cannot do.

    Raises:
        ScalingError: names the settings.
    """
    if config.teacher is not None and config.distil.features:
        raise ScalingError(
            f"distil.features={config.distil.features:g} is for one process; torchrun has several"
        )
    if not config.sync_norm and config.recipe.patience is not None:
        raise ScalingError(
            f"sync_norm=false with recipe.patience={config.recipe.patience}: each process would "
            "validate another network, and stop at another epoch; expected recipe.patience=null"
        )


def _named(name: str, value: str) -> None:
    """Refuse what no folder can be called."""
    if name == "study":
        validate_study_name(value)
    elif not value or value in (".", "..") or "/" in value or value.startswith("."):
        raise ScalingError(f"{name}={value} is no name of a folder")


def _bounds(config: TrainConfig) -> Iterator[tuple[str, float | None, float, float]]:
    """(name, value, least, most)."""
    recipe, far = config.recipe, math.inf
    for name, least, most in (
        ("epochs", 1, far), ("batch_size", 1, far), ("lr", 0, far), ("momentum", 0, 1),
        ("eps", 0, far), ("weight_decay", 0, far), ("warmup_epochs", 0, far),
        ("warmup_lr", 0, far), ("min_lr", 0, far), ("decay_epochs", 0.001, far),
        ("decay_rate", 0, far), ("ema", 0, 0.999999),
        ("drop_block_size", 1, far), ("crop_padding", 0, far), ("crop_scale", 0.001, 1),
        ("rand_augment", 0, 10), ("cutout", 0, far), ("mixup", 0, far), ("cutmix", 0, far),
        ("start_resolution", 0.1, 1), ("start_regularisation", 0, 1), ("clip", 1e-12, far),
        ("accumulate", 1, far), ("patience", 1, far),
        *((each, 0, 0.999) for each in _PROBABILITIES),
    ):  # fmt: skip
        yield f"recipe.{name}", getattr(recipe, name), least, most
    yield "distil.alpha", config.distil.alpha, 0, 1
    yield "distil.temperature", config.distil.temperature, 0.01, 1000
    yield "distil.features", config.distil.features, 0, far
    yield "threads", config.threads, 1, 1024
    yield "loaders", config.loaders, 0, 256
    yield "checkpoint_minutes", config.checkpoint_minutes, 0, far


def _check_recipe(recipe: RecipeConfig) -> None:
    if recipe.drop_block_size % 2 == 0:
        raise ScalingError(f"recipe.drop_block_size={recipe.drop_block_size} is not odd")
    if recipe.accumulate > recipe.batch_size:
        raise ScalingError(
            f"recipe.accumulate={recipe.accumulate} is more than recipe.batch_size="
            f"{counted(recipe.batch_size, 'image')}"
        )
    if recipe.rand_augment and recipe.policy is not None:
        raise ScalingError(
            f"recipe.rand_augment={recipe.rand_augment:g} and recipe.policy={recipe.policy} are "
            "two of a kind; expected one of them"
        )
    if recipe.schedule == "plateau":
        raise ScalingError("recipe.schedule=plateau is not followed; expected for example cosine")
