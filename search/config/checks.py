"""What types cannot say of settings: ranges, choices, and what goes together."""

import math
import re
from collections.abc import Mapping
from typing import Any, Final

from blocks.arch import size_from
from blocks.errors import ArchError
from blocks.names import choose
from blocks.rounding import ROUNDINGS
from blocks.zoo import find_arch
from search.config.places import EXECUTORS
from search.config.quality import QUALITIES, SEVERAL
from search.config.quantities import parse_milliseconds, parse_quantity
from search.config.schema import LATENCY, METRICS, SOLVE, TASKS, RunConfig
from search.config.storage import check_storage
from search.errors import ConfigError

CHOICES: Final[Mapping[str, tuple[str, ...]]] = {
    "objective": ("pareto", "reward", "accuracy", "loss"),
    "evaluator": ("train", "supernet"),
    "task": TASKS,
    "budget.metric": METRICS,
    "budget.solve": SOLVE,
    "search.pruner": ("none", "asha", "hyperband"),
    "search.metric": (*dict.fromkeys([*QUALITIES, *SEVERAL]), "loss"),
    "search.rung_metric": ("val_loss", "val_accuracy"),
    "dataset.on_corrupt": ("refuse", "skip"),
    "dataset.on_unlabelled": ("refuse", "skip"),
    "dataset.near_duplicates": ("ignore", "group"),
    "dataset.layout": ("auto", "splits", "classes"),
    "dataset.resize": ("crop", "pad", "squash"),
    "proxy.init_from": ("supernet",),
    "proxy.class_weights": ("none", "balanced", "effective"),
    "proxy.optimizer": ("adamw", "sgd"),
    "proxy.kernels": ("auto", "torch"),
    "proxy.precision": ("auto", "fp32", "bf16"),
    "proxy.drop_block_shape": ("square", "circle"),  # blocks.drop_block.SHAPES, without its torch
    "executor": EXECUTORS,
    "slurm.cluster": ("slurm", "local"),
    "space.rounding": tuple(ROUNDINGS),
}
"""Settings that are one of a few words; those that may be null are not checked where they are."""
LEAST_SCORED: Final = 10
"""Members below which zero-cost scores teach a search nothing."""
LEAST: Final[Mapping[str, int]] = {
    "search.trials": 1,
    "search.finalists": 1,
    "search.final_epochs": 1,
    "search.final_seeds": 1,
    "search.controls": 0,
    "search.reduction_factor": 2,
    "search.min_epochs": 1,
    "search.warm_start_top": 1,
    "search.zero_cost": 0,
    "search.zero_cost_top": 0,
    "fidelity.architectures": 5,
    "fidelity.seeds": 2,
    "fidelity.repeated": 1,
    "workers.count": 0,
    "workers.threads": 1,
    "workers.ahead": 0,
    "ray.retries": 0,
    "slurm.retries": 0,
    "slurm.minutes": 1,
    "proxy.epochs": 1,
    "proxy.batch_size": 2,
    "proxy.crop_padding": 0,
    "proxy.cutout": 0,
    "dataset.channels": 1,
    "dataset.folds": 2,
    "supernet.epochs": 1,
    "supernet.samples": 1,
    "supernet.calibration_images": 2,
}
FRACTIONS: Final = (
    "dataset.val_fraction",
    "dataset.test_fraction",
    "proxy.dropout",
    "proxy.drop_path",
    "proxy.drop_block",
    "proxy.warmup_fraction",
    "proxy.label_smoothing",
    "proxy.ema",
    "supernet.warmup_fraction",
    "supernet.ema",
)
"""From 0 to less than 1."""
POSITIVE: Final = ("proxy.lr", "supernet.lr", "search.minutes", "workers.minutes", "ray.gpus")
NOT_NEGATIVE: Final = ("proxy.weight_decay", "proxy.momentum", "proxy.mixup", "proxy.cutmix")


def validate(config: RunConfig, samplers: list[str], datasets: list[str]) -> None:
    """Check the values that types cannot say; the search space checks itself.

    Raises:
        ConfigError: names the setting, its value, and what was expected.
    """
    choose("sampler", config.sampler, samplers, ConfigError)
    for name, known in CHOICES.items():
        value = value_of(config, name)
        if value is not None:
            choose(name, value, known, ConfigError)
    choose("dataset.name", config.dataset.name, datasets, ConfigError)
    validate_study_name(config.study)
    _check_ranges(config)
    _check_dataset(config)
    _check_proxy(config)
    _check_budget(config)
    _check_search(config)
    _check_task(config)
    _check_places(config)
    check_storage(config.storage)


def _check_places(config: RunConfig) -> None:
    """Refuse devices, and limits, that the executor cannot have."""
    device = config.workers.device
    if not re.fullmatch(r"auto|cpu|cuda(:[0-9]+)?", device):
        choose("workers.device", device, ("auto", "cpu", "cuda", "cuda:0"), ConfigError)
    if ":" in device and config.executor != "processes":
        raise ConfigError(
            f"workers.device={device} is one GPU of this machine, which executor="
            f"{config.executor} does not choose; expected workers.device=cuda"
        )
    for name in ("workers.memory", "slurm.memory"):
        value = value_of(config, name)
        if value is not None:
            parse_quantity(name, value)
    if config.executor == "submitit" and config.slurm.cluster == "slurm":
        check_at_least({"workers.count": (config.workers.count, 1)})


def _check_task(config: RunConfig) -> None:
    """Refuse what has no meaning for images of one class, or of several labels."""
    metric, known = config.search.metric, SEVERAL if config.several else QUALITIES
    if metric not in (None, "loss", *known):
        raise ConfigError(
            f"search.metric={metric} is not of task={config.task}; expected "
            f"{', '.join(known)} or loss"
        )
    if not config.several:
        return
    proxy = config.proxy
    if proxy.balanced_batches:
        raise ConfigError(
            "proxy.balanced_batches=true is of classes, of which an image of task=multilabel has "
            "no single one; expected proxy.class_weights=balanced"
        )
    if proxy.class_weights == "effective":
        raise ConfigError(
            "proxy.class_weights=effective does not do task=multilabel; expected none or balanced"
        )
    if config.needs_supernet or config.fidelity.supernet:
        raise ConfigError(
            "a supernet does not do task=multilabel yet; expected evaluator=train, "
            "proxy.init_from=null and fidelity.supernet=false"
        )


def validate_study_name(study: str) -> None:
    """A study is a folder under results_dir, so its name is a plain file name.

    Raises:
        ConfigError: it is not.
    """
    if not re.fullmatch(r"[^\W_][\w.+=,-]*", study):
        raise ConfigError(
            f"study={study} is not a folder name; expected letters, digits and . _ + = , -"
        )


def check_at_least(settings: Mapping[str, tuple[int, int]]) -> None:
    """Check (value, least) of each named setting.

    Raises:
        ConfigError: the first that is below its least.
    """
    for name, (value, least) in settings.items():
        if value < least:
            raise ConfigError(f"{name}={value} is too small; expected {least} or more")


def value_of(config: Any, name: str) -> Any:
    """The value of a setting by its dotted name."""
    for part in name.split("."):
        config = getattr(config, part)
    return config


def _check_ranges(config: RunConfig) -> None:
    least = {name: (value_of(config, name), least) for name, least in LEAST.items()}
    check_at_least({name: pair for name, pair in least.items() if pair[0] is not None})
    for name in FRACTIONS:
        share = value_of(config, name)
        if share is not None and not 0 <= share < 1:
            raise ConfigError(f"{name}={share} is not a fraction; expected 0 ≤ value < 1")
    for name in POSITIVE:
        rate = value_of(config, name)
        if rate is not None and not (math.isfinite(rate) and rate > 0):
            raise ConfigError(f"{name}={rate} is not a positive number")
    for name in NOT_NEGATIVE:
        rate = value_of(config, name)
        if not (math.isfinite(rate) and rate >= 0):
            raise ConfigError(f"{name}={rate} is not a number of 0 or more")


def check_images(config: RunConfig) -> None:
    """Check what the reading of images depends on.

    Raises:
        ConfigError: names the setting, its value, and what was expected.
    """
    for name, known in CHOICES.items():
        if name.startswith("dataset."):
            choose(name, value_of(config, name), known, ConfigError)
    _check_ranges(config)
    _check_dataset(config)


def _check_dataset(config: RunConfig) -> None:
    if config.dataset.image_size is not None:
        _check_size("dataset.image_size", config.dataset.image_size)
    dataset = config.dataset
    from PIL import ImageColor

    try:
        ImageColor.getrgb(dataset.background)
    except ValueError:
        raise ConfigError(
            f"dataset.background={dataset.background} is no colour; expected white, #c0c0c0, …"
        ) from None
    if dataset.range not in ("auto", "type"):
        low, _, high = dataset.range.partition("..")
        try:
            right = math.isfinite(float(high)) and math.isfinite(float(low))
        except ValueError:
            right = False
        if not (right and float(low) < float(high)):
            raise ConfigError(
                f"dataset.range={dataset.range} is unknown; expected auto, type, or LOW..HIGH, as "
                "0..4095"
            )
    if dataset.val_fraction == 0:
        raise ConfigError("dataset.val_fraction=0 leaves nothing to search on; expected above 0")
    if dataset.test_fraction == 0:
        raise ConfigError("dataset.test_fraction=0 leaves nothing to test on; expected above 0")
    if dataset.val_fraction + dataset.test_fraction >= 1:
        raise ConfigError(
            f"dataset.val_fraction={dataset.val_fraction} and dataset.test_fraction="
            f"{dataset.test_fraction} leave no images to train on; expected a sum below 1"
        )


def _check_size(name: str, value: Any) -> None:
    try:
        size_from(value, name)
    except ArchError as error:
        raise ConfigError(str(error)) from None


def _check_proxy(config: RunConfig) -> None:
    proxy = config.proxy
    if proxy.drop_block_size < 1 or proxy.drop_block_size % 2 == 0:
        raise ConfigError(f"proxy.drop_block_size={proxy.drop_block_size} is not odd and 1 or more")
    if proxy.balanced_batches and config.dataset.columns.weight is not None:
        raise ConfigError(
            f"dataset.columns.weight={config.dataset.columns.weight} and "
            "proxy.balanced_batches=true both say how often an image is trained on; expected one "
            "of the two"
        )
    if proxy.balanced_batches and proxy.class_weights != "none":
        raise ConfigError(
            f"proxy.class_weights={proxy.class_weights} and proxy.balanced_batches=true would "
            "count rare classes twice; expected one of the two"
        )
    _check_size("proxy.resolution", proxy.resolution)
    if not 0 < proxy.start_resolution <= 1:
        raise ConfigError(
            f"proxy.start_resolution={proxy.start_resolution} is not a share of the "
            "resolution; expected 0 < value ≤ 1"
        )
    if not 0 <= proxy.rand_augment <= 10:
        raise ConfigError(
            f"proxy.rand_augment={proxy.rand_augment} is not a magnitude; expected 0 to 10"
        )


def _check_budget(config: RunConfig) -> None:
    budget = config.budget
    if budget.metric == LATENCY:
        if budget.target is None:
            raise ConfigError(f"budget.metric={LATENCY} is of a target; expected budget.target=MS")
        if budget.latency_table is None:
            raise ConfigError(
                f"budget.metric={LATENCY} predicts by a table; expected budget.latency_table=FILE "
                "that `python -m blocks latency-table` wrote"
            )
    elif budget.latency_table is not None:
        raise ConfigError(
            f"budget.latency_table={budget.latency_table} is not read with budget.metric="
            f"{budget.metric}; expected budget.metric={LATENCY}"
        )
    if not 0 < budget.tolerance <= 0.5:
        raise ConfigError(
            f"budget.tolerance={budget.tolerance} is not a share of the target; expected "
            "0 < value ≤ 0.5, such as 0.02 for 2%"
        )
    exponent = config.reward.exponent
    if not (math.isfinite(exponent) and exponent <= 0):
        raise ConfigError(
            f"reward.exponent={exponent} rewards cost; expected 0 or below (the paper's is -0.07)"
        )
    _ = config.max_macs  # each is read once, so that what is no quantity is refused here
    if config.reward.target_macs is not None:
        parse_quantity("reward.target_macs", config.reward.target_macs)
    if config.budget.target is not None:
        predicted = config.budget.metric == LATENCY
        parse = parse_milliseconds if predicted else parse_quantity
        parse("budget.target", config.budget.target)


def _check_search(config: RunConfig) -> None:
    search, pruner = config.search, config.pruner
    if search.zero_cost:
        least = max(LEAST_SCORED, search.zero_cost_top)
        check_at_least({"search.zero_cost": (search.zero_cost, least)})
    if search.metric == "loss" and config.objective not in (None, "loss"):
        raise ConfigError(
            f"search.metric=loss is objective=loss, which objective={config.objective} is not; "
            f"expected one of the two, or {', '.join(QUALITIES)}"
        )
    if config.aim == "pareto" and config.budget.target is not None:
        raise ConfigError(
            f"objective=pareto has no front at budget.target={config.budget.target}: all "
            "candidates cost the same; expected accuracy or reward, or budget.max_macs alone"
        )
    if pruner != "none" and config.aim == "pareto":
        raise ConfigError(
            f"search.pruner={pruner} needs one objective; expected "
            "objective=accuracy, loss or reward, or a budget.target"
        )
    if pruner != "none" and config.evaluator == "supernet":
        raise ConfigError(
            f"search.pruner={pruner} has no training to stop with evaluator=supernet; expected none"
        )
    if config.proxy.epochs is not None:
        check_epochs(config)
    if config.needs_supernet or config.fidelity.supernet:
        _check_sliceable(config)
    for name in search.references:
        try:
            find_arch(name)
        except ArchError as error:
            raise ConfigError(f"search.references: {error}") from None
    if len(set(search.references)) < len(search.references):
        raise ConfigError(f"search.references={search.references} holds a network twice")


def check_epochs(config: RunConfig) -> None:
    """Refuse a first rung or a long schedule that is none beside the proxy's epochs."""
    whole = config.proxy.whole_epochs
    check_at_least({"fidelity.epochs": (config.long_epochs, whole + 1)})
    if config.pruner != "none" and config.min_epochs >= whole:
        raise ConfigError(
            f"search.min_epochs={config.min_epochs} leaves nothing to stop early; expected "
            f"less than proxy.epochs={whole}"
        )


def _check_sliceable(config: RunConfig) -> None:
    """Refuse a supernet of members that are no slices of one network."""
    space = config.space
    varies = space.strides is not None or any(0 in stage.repeats for stage in space.stages)
    if varies or not space.stages:
        raise ConfigError(
            "a supernet needs a space whose members all have the same stages and strides; expected "
            "space=tiny, or space.stages without 0 repeats and space.strides=null"
        )
