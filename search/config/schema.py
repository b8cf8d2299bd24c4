"""The schema of `conf/config.yaml`: every setting, its type, its default's meaning.

Hydra checks the YAML files and the command line against these dataclasses; `validate` checks
what types cannot say.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from blocks.errors import ArchError
from blocks.rounding import ROUNDINGS
from blocks.zoo import find_arch
from search.errors import ConfigError, choose

if TYPE_CHECKING:
    from search.space.budget import Budget

SOLVE: Final = ("width", "width_depth")
LATENCY: Final = "latency_ms"
METRICS: Final = ("macs", "params", "activations", LATENCY)
"""Of a budget's target."""
OBJECTIVES: Final = ("pareto", "reward", "accuracy", "loss")
PRUNERS: Final = ("none", "asha", "hyperband")
RUNG_METRICS: Final = ("val_loss", "val_accuracy")
DROP_BLOCK_SHAPES: Final = ("square", "circle")  # blocks.drop_block.SHAPES, without its torch
EMA: Final = 0.98
"""Decay of averaged weights where trainings are compared before their end: a memory of about 50
steps, which takes away most of what a high learning rate adds to a loss."""
LEAST_SCORED: Final = 10
"""Members below which zero-cost scores teach a search nothing."""
OPTIMIZERS: Final = ("adamw", "sgd")
KERNELS: Final = ("auto", "torch")
PRECISIONS: Final = ("auto", "fp32", "bf16")
DEVICES: Final = ("auto", "cpu", "cuda")
EVALUATORS: Final = ("train", "supernet")
INITIAL: Final = ("supernet",)
ON_CORRUPT: Final = ("refuse", "skip")


@dataclass(frozen=True)
class DatasetConfig:
    """Where the images come from. Splits that the data set lacks are carved from train."""

    name: str = "npz"
    root: str | None = None
    image_size: int | None = None  # pixels; folders only; null: 1.5 × proxy.resolution
    val_fraction: float = 1 / 6
    test_fraction: float = 1 / 7
    on_corrupt: str = "refuse"
    download: bool = False
    cache: str | None = "auto"  # folder of decoded images; folders only


@dataclass(frozen=True)
class StageConfig:
    """One stage of the space; a list left null is the space's own list."""

    channels: int = 16
    stride: int = 1
    repeats: list[int] = field(default_factory=lambda: [1])
    kernel: list[int] | None = None
    expand_ratio: list[int] | None = None
    se_ratio: list[float] | None = None
    width: list[float] | None = None
    skip: list[bool] | None = None


@dataclass(frozen=True)
class SpaceConfig:
    """Choices per stage, and what all members share."""

    stages: list[StageConfig] = field(default_factory=list)
    stem: int = 16
    stem_stride: int = 2
    head: int = 128
    act: str = "silu"
    resolution: list[int] | None = None  # null: proxy.resolution alone
    kernel: list[int] = field(default_factory=lambda: [3, 5, 7])
    expand_ratio: list[int] = field(default_factory=lambda: [1, 3, 4, 6])
    se_ratio: list[float] = field(default_factory=lambda: [0.0, 0.25])
    width: list[float] = field(default_factory=lambda: [1.0])
    skip: list[bool] = field(default_factory=lambda: [True])
    rounding: str = "paper"  # of channels × width: paper | floor | floor8
    global_residual: bool = False  # an experiment: all stages' outputs, projected, into the head


@dataclass(frozen=True)
class ProxyConfig:
    """The short training that stands for a long one."""

    epochs: int = 4
    resolution: int = 28
    batch_size: int = 64
    optimizer: str = "adamw"
    lr: float = 0.02
    momentum: float = 0.9  # SGD only
    weight_decay: float = 0.05
    warmup_fraction: float = 0.2
    label_smoothing: float = 0.05
    dropout: float = 0.0
    drop_path: float = 0.0
    drop_block: float = 0.0  # probability at the end of training, which it rises to
    drop_block_size: int = 7  # side of a dropped block in map elements, odd
    drop_block_shape: str = "square"  # square | circle
    crop_padding: int = 0  # pixels
    flip: bool = True
    rand_augment: float = 0.0  # magnitude up to 10: a colour and a geometric change per image
    cutout: int = 0  # pixels, the side of a square of the mean colour
    mixup: float = 0.0  # α of Beta(α, α)
    cutmix: float = 0.0  # α; with mixup each batch gets one of the two
    start_resolution: float = 0.5  # share of the resolution in the first epoch; the last has all
    ema: float | None = None  # decay per step of averaged weights; null: 0.98 with a pruner, else 0
    precision: str = "auto"  # fp32 | bf16: autocast | auto: what a measurement finds faster
    kernels: str = "auto"  # auto: compiled operators where there is a compiler | torch
    init_from: str | None = None  # supernet: members begin with the weights they have there


@dataclass(frozen=True)
class BudgetConfig:
    """What a candidate may cost, counted before it is built. Numbers or 600k, 25M, 0.4G.

    Without a target a candidate above `max_macs` is never built. With one every candidate's
    widths are solved so that its `metric` is the target ± `tolerance`; of `latency_ms` it is a
    number of milliseconds, a batch, as predicted by a table of this device.
    """

    max_macs: Any = "2M"
    target: Any = None
    metric: str = "macs"  # of the target: macs | params | activations | latency_ms
    latency_table: str | None = None  # of latency_ms: what `python -m blocks latency-table` wrote
    tolerance: float = 0.02
    solve: str = "width"  # width | width_depth: the repeats too, where widths would change much


@dataclass(frozen=True)
class RewardConfig:
    """ACC·(macs/target)^exponent, EfficientNet §3.2; steers and picks B0 in objective=reward."""

    target_macs: Any = None  # null: budget.max_macs
    exponent: float = -0.07


@dataclass(frozen=True)
class SearchConfig:
    """How long to search, and what to do around it."""

    trials: int = 40
    minutes: float | None = None  # of wall clock, after which no further candidate is begun
    pruner: str = "none"  # none | asha | hyperband: stop the unpromising early
    reduction_factor: int = 3  # of each rung one candidate in so many goes on
    min_epochs: int = 1  # the first rung
    rung_metric: str = "val_loss"  # of objective=accuracy: val_loss | val_accuracy
    enqueue: list[str] = field(default_factory=list)  # spellings to evaluate first
    warm_start: str | None = None  # a study of results_dir whose best are evaluated first
    warm_start_top: int = 5
    zero_cost: int = 0  # random members that are scored untrained before the first trial; 0: none
    zero_cost_top: int = 5  # of the best of them, which are evaluated first
    reference: str | None = "efficientnet_b0"
    controls: int = 8  # random members within the budget, trained beside the search
    final_epochs: int = 10
    scale: bool = True


@dataclass(frozen=True)
class WorkersConfig:
    """Training processes and the threads of each. `count` trials are in flight at once."""

    count: int = 0  # 0: as many as the machine has cores and memory for
    threads: int = 1
    device: str = "auto"  # cpu | cuda | auto: cuda where there is one


@dataclass(frozen=True)
class FidelityConfig:
    """What `python -m search fidelity` trains."""

    architectures: int = 24
    epochs: int | None = None  # of the long schedule; null: 3 × proxy.epochs
    seeds: int = 3
    repeated: int = 4  # architectures that are trained with all of the seeds
    supernet: bool = False  # judge them by the supernet too, as evaluator=supernet does


@dataclass(frozen=True)
class SupernetConfig:
    """How the supernet is trained, beside the proxy's batches, augmentation and weight decay, and
    how candidates are judged by it."""

    epochs: int = 18
    samples: int = 4  # random members that train on each batch
    lr: float = 0.02  # of AdamW
    warmup_fraction: float = 0.2
    distil: bool = False  # all but the largest of a batch learn what it answers, not the labels
    ema: float = 0.99  # decay per step of averaged weights; 0: none
    calibration_images: int = 1024  # training images that batch norm is measured on


@dataclass(frozen=True)
class RunConfig:
    """All settings of `python -m search run`."""

    study: str = "main"
    results_dir: str = "results"
    seed: int = 0
    sampler: str = "tpe"
    evaluator: str = "train"  # of candidates: train | supernet
    objective: str | None = None  # null: accuracy at a budget.target, else pareto
    dataset: DatasetConfig = field(default_factory=DatasetConfig)
    space: SpaceConfig = field(default_factory=SpaceConfig)
    proxy: ProxyConfig = field(default_factory=ProxyConfig)
    budget: BudgetConfig = field(default_factory=BudgetConfig)
    reward: RewardConfig = field(default_factory=RewardConfig)
    search: SearchConfig = field(default_factory=SearchConfig)
    workers: WorkersConfig = field(default_factory=WorkersConfig)
    fidelity: FidelityConfig = field(default_factory=FidelityConfig)
    supernet: SupernetConfig = field(default_factory=SupernetConfig)

    @property
    def training(self) -> ProxyConfig:
        """The proxy, its defaults resolved."""
        ema = self.proxy.ema
        if ema is None:
            ema = 0.0 if self.search.pruner == "none" else EMA
        return replace(self.proxy, ema=ema)

    @property
    def trial_epochs(self) -> int:
        """Epochs that a candidate is trained for; none where the supernet judges it."""
        return 0 if self.evaluator == "supernet" else self.proxy.epochs

    @property
    def inherits(self) -> bool:
        """Whether proxy trainings of the space's members begin with the supernet's weights."""
        return self.proxy.init_from == "supernet"

    @property
    def needs_supernet(self) -> bool:
        """Whether a search judges candidates by a supernet, or trains them from its weights."""
        return self.evaluator == "supernet" or self.inherits

    @property
    def long_epochs(self) -> int:
        """Epochs of the schedule that the proxy stands for."""
        return self.fidelity.epochs or 3 * self.proxy.epochs

    @property
    def max_macs(self) -> int:
        """The budget in multiply-adds."""
        return parse_quantity("budget.max_macs", self.budget.max_macs)

    @property
    def aim(self) -> str:
        """The objective, its default resolved."""
        return self.objective or ("pareto" if self.budget.target is None else "accuracy")

    @property
    def cost_budget(self) -> "Budget":
        """The budget as candidates are held to it."""
        from search.space.budget import cost_budget

        return cost_budget(self)

    @property
    def budget_macs(self) -> int | None:
        """What the budget says of multiply-adds; None where its target is another metric's."""
        from search.space.budget import budget_macs

        return budget_macs(self)

    @property
    def target_macs(self) -> int:
        """T of the reward, in multiply-adds."""
        if self.reward.target_macs is None:
            return self.budget_macs or self.max_macs
        return parse_quantity("reward.target_macs", self.reward.target_macs)


STEERING_FREE: Final = frozenset(
    {
        "results_dir",
        "search.trials",
        "search.minutes",
        "search.scale",
        "search.reference",
        "search.controls",
        "search.final_epochs",
        "dataset.root",
        "dataset.download",
        "dataset.cache",
        "budget.latency_table",
        "fidelity.architectures",
        "fidelity.epochs",
        "fidelity.seeds",
        "fidelity.repeated",
        "fidelity.supernet",
    }
)
"""Settings that may change between two runs of one study: they steer no trial (the images and
the latency table are pinned by their hashes, wherever they lie)."""


def parse_quantity(name: str, value: object) -> int:
    """`25_000_000`, `25e6`, `"25M"` or `"0.4G"` as a whole number.

    Raises:
        ConfigError: anything else, or less than 1.
    """
    text = str(value).replace("_", "")
    match = re.fullmatch(r"([0-9]*\.?[0-9]+(?:[eE][+-]?[0-9]+)?)([kKMG]?)", text)
    if match is None or isinstance(value, bool):
        raise ConfigError(f"{name}={value} is not a quantity; expected such as 25000000, 25M, 0.4G")
    number = float(match[1]) * {"": 1, "k": 1e3, "K": 1e3, "M": 1e6, "G": 1e9}[match[2]]
    if not math.isfinite(number) or number < 1:
        raise ConfigError(f"{name}={value} is below 1; expected such as 25000000, 25M, 0.4G")
    return round(number)


def parse_milliseconds(name: str, value: object) -> float:
    """`4`, `0.35` or `"1e-2"` as a number of milliseconds.

    Raises:
        ConfigError: anything else, or no positive number.
    """
    try:
        number = math.nan if isinstance(value, bool) else float(str(value))
    except ValueError:
        number = math.nan
    if not (math.isfinite(number) and number > 0):
        raise ConfigError(f"{name}={value} is no number of milliseconds; expected such as 4, 0.35")
    return number


def check_at_least(settings: Mapping[str, tuple[int, int]]) -> None:
    """Check (value, least) of each named setting.

    Raises:
        ConfigError: the first that is below its least.
    """
    for name, (value, least) in settings.items():
        if value < least:
            raise ConfigError(f"{name}={value} is too small; expected {least} or more")


def validate(config: RunConfig, samplers: list[str], datasets: list[str]) -> None:
    """Check the values that types cannot say; the search space checks itself.

    Raises:
        ConfigError: names the setting, its value, and what was expected.
    """
    choose("sampler", config.sampler, samplers)
    choose("objective", config.aim, OBJECTIVES)
    choose("evaluator", config.evaluator, EVALUATORS)
    if config.proxy.init_from is not None:
        choose("proxy.init_from", config.proxy.init_from, INITIAL)
    choose("budget.metric", config.budget.metric, METRICS)
    choose("budget.solve", config.budget.solve, SOLVE)
    choose("search.pruner", config.search.pruner, PRUNERS)
    choose("search.rung_metric", config.search.rung_metric, RUNG_METRICS)
    choose("dataset.name", config.dataset.name, datasets)
    choose("dataset.on_corrupt", config.dataset.on_corrupt, ON_CORRUPT)
    choose("proxy.optimizer", config.proxy.optimizer, OPTIMIZERS)
    choose("proxy.kernels", config.proxy.kernels, KERNELS)
    choose("proxy.precision", config.proxy.precision, PRECISIONS)
    choose("workers.device", config.workers.device, DEVICES)
    choose("proxy.drop_block_shape", config.proxy.drop_block_shape, DROP_BLOCK_SHAPES)
    choose("space.rounding", config.space.rounding, list(ROUNDINGS))
    validate_study_name(config.study)
    at_least = {
        "search.trials": (config.search.trials, 1),
        "search.final_epochs": (config.search.final_epochs, 1),
        "search.controls": (config.search.controls, 0),
        "search.reduction_factor": (config.search.reduction_factor, 2),
        "search.min_epochs": (config.search.min_epochs, 1),
        "search.warm_start_top": (config.search.warm_start_top, 1),
        "search.zero_cost": (config.search.zero_cost, 0),
        "search.zero_cost_top": (config.search.zero_cost_top, 0),
        "fidelity.architectures": (config.fidelity.architectures, 5),
        "fidelity.epochs": (config.long_epochs, config.proxy.epochs + 1),
        "fidelity.seeds": (config.fidelity.seeds, 2),
        "fidelity.repeated": (config.fidelity.repeated, 1),
        "workers.count": (config.workers.count, 0),
        "workers.threads": (config.workers.threads, 1),
        "proxy.epochs": (config.proxy.epochs, 1),
        "proxy.resolution": (config.proxy.resolution, 1),
        "proxy.batch_size": (config.proxy.batch_size, 2),
        "proxy.crop_padding": (config.proxy.crop_padding, 0),
        "proxy.cutout": (config.proxy.cutout, 0),
        "dataset.image_size": (config.dataset.image_size or 1, 1),
        "supernet.epochs": (config.supernet.epochs, 1),
        "supernet.samples": (config.supernet.samples, 1),
        "supernet.calibration_images": (config.supernet.calibration_images, 2),
    }
    check_at_least(at_least)
    if config.search.zero_cost:
        least = max(LEAST_SCORED, config.search.zero_cost_top)
        check_at_least({"search.zero_cost": (config.search.zero_cost, least)})
    fractions = {
        "dataset.val_fraction": config.dataset.val_fraction,
        "dataset.test_fraction": config.dataset.test_fraction,
        "proxy.dropout": config.proxy.dropout,
        "proxy.drop_path": config.proxy.drop_path,
        "proxy.drop_block": config.proxy.drop_block,
        "proxy.warmup_fraction": config.proxy.warmup_fraction,
        "proxy.label_smoothing": config.proxy.label_smoothing,
        "proxy.ema": config.training.ema or 0.0,
        "supernet.warmup_fraction": config.supernet.warmup_fraction,
        "supernet.ema": config.supernet.ema,
    }
    for name, share in fractions.items():
        if not 0 <= share < 1:
            raise ConfigError(f"{name}={share} is not a fraction; expected 0 ≤ value < 1")
    if config.dataset.val_fraction == 0:
        raise ConfigError("dataset.val_fraction=0 leaves nothing to search on; expected above 0")
    if config.dataset.test_fraction == 0:
        raise ConfigError("dataset.test_fraction=0 leaves nothing to test on; expected above 0")
    if config.dataset.val_fraction + config.dataset.test_fraction >= 1:
        raise ConfigError(
            f"dataset.val_fraction={config.dataset.val_fraction} and dataset.test_fraction="
            f"{config.dataset.test_fraction} leave no images to train on; expected a sum below 1"
        )
    if config.proxy.drop_block_size < 1 or config.proxy.drop_block_size % 2 == 0:
        raise ConfigError(
            f"proxy.drop_block_size={config.proxy.drop_block_size} is not odd and 1 or more"
        )
    if config.aim == "pareto" and config.budget.target is not None:
        raise ConfigError(
            f"objective=pareto has no front at budget.target={config.budget.target}: all "
            "candidates cost the same; expected accuracy or reward, or budget.max_macs alone"
        )
    if config.search.pruner != "none" and config.aim == "pareto":
        raise ConfigError(
            f"search.pruner={config.search.pruner} needs one objective; expected "
            "objective=accuracy, loss or reward, or a budget.target"
        )
    if config.search.pruner != "none" and config.evaluator == "supernet":
        raise ConfigError(
            f"search.pruner={config.search.pruner} has no training to stop with "
            "evaluator=supernet; expected none"
        )
    if config.search.pruner != "none" and config.search.min_epochs >= config.proxy.epochs:
        raise ConfigError(
            f"search.min_epochs={config.search.min_epochs} leaves nothing to stop early; expected "
            f"less than proxy.epochs={config.proxy.epochs}"
        )
    if config.budget.metric == LATENCY:
        if config.budget.target is None:
            raise ConfigError(f"budget.metric={LATENCY} is of a target; expected budget.target=MS")
        if config.budget.latency_table is None:
            raise ConfigError(
                f"budget.metric={LATENCY} predicts by a table; expected budget.latency_table=FILE "
                "that `python -m blocks latency-table` wrote"
            )
    elif config.budget.latency_table is not None:
        raise ConfigError(
            f"budget.latency_table={config.budget.latency_table} is not read with budget.metric="
            f"{config.budget.metric}; expected budget.metric={LATENCY}"
        )
    if not 0 < config.budget.tolerance <= 0.5:
        raise ConfigError(
            f"budget.tolerance={config.budget.tolerance} is not a share of the target; expected "
            "0 < value ≤ 0.5, such as 0.02 for 2%"
        )
    if not 0 < config.proxy.start_resolution <= 1:
        raise ConfigError(
            f"proxy.start_resolution={config.proxy.start_resolution} is not a share of the "
            "resolution; expected 0 < value ≤ 1"
        )
    positive = {"proxy.lr": config.proxy.lr, "supernet.lr": config.supernet.lr}
    if config.search.minutes is not None:
        positive["search.minutes"] = config.search.minutes
    for name, rate in positive.items():
        if not (math.isfinite(rate) and rate > 0):
            raise ConfigError(f"{name}={rate} is not a positive number")
    for name, rate in {
        "proxy.weight_decay": config.proxy.weight_decay,
        "proxy.momentum": config.proxy.momentum,
        "proxy.mixup": config.proxy.mixup,
        "proxy.cutmix": config.proxy.cutmix,
    }.items():
        if not (math.isfinite(rate) and rate >= 0):
            raise ConfigError(f"{name}={rate} is not a number of 0 or more")
    if not 0 <= config.proxy.rand_augment <= 10:
        raise ConfigError(
            f"proxy.rand_augment={config.proxy.rand_augment} is not a magnitude; expected 0 to 10"
        )
    if not (math.isfinite(config.reward.exponent) and config.reward.exponent <= 0):
        raise ConfigError(
            f"reward.exponent={config.reward.exponent} rewards cost; expected 0 or below "
            "(the paper's is -0.07)"
        )
    _ = config.max_macs, config.target_macs, config.cost_budget
    if config.search.reference is not None:
        try:
            find_arch(config.search.reference)
        except ArchError as error:
            raise ConfigError(f"search.reference: {error}") from None


def validate_study_name(study: str) -> None:
    """A study is a folder under results_dir, so its name is a plain file name.

    Raises:
        ConfigError: it is not.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._+=,-]*", study):
        raise ConfigError(
            f"study={study} is not a folder name; expected letters, digits and . _ + = , -"
        )
