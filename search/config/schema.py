"""The schema of `conf/config.yaml`: every setting, its type, its default, and what it means.

This is the one place that says so. The comment beside a setting is what `python -m search
settings` shows; choices stand in it as `one | another`. `search.config.checks` checks what types
cannot say. What a named data set or space sets beside these defaults is in `conf/dataset` and
`conf/space`.
"""

import math
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from blocks.arch import Size, size_from
from search.config.build import build
from search.config.options import option
from search.config.places import RayConfig, SlurmConfig, Where, WorkersConfig
from search.config.quality import ACCURACY, Quality, quality_named
from search.config.quantities import parse_quantity
from search.config.steps import FidelityConfig, SupernetConfig
from search.config.storage import Address

DATASET: Final = "fashion_mnist"
SPACE: Final = "auto"
"""Unless others are named; `conf/config.yaml` names them too."""
BUDGET: Final = "1M"
"""Multiply-adds of a candidate, unless another budget is given."""
TASKS: Final = ("classes", "multilabel")
"""What an image has: one class, or any number of labels."""
EPOCHS: Final = 12
"""Of a proxy training, where nothing else is asked for and the images are not few."""
TRIAL_SHARE: Final = 0.6
"""Of `search.minutes`, where there is a final round."""
SOLVE: Final = ("width", "width_depth")
LATENCY: Final = "latency_ms"
METRICS: Final = ("macs", "params", "activations", LATENCY)
"""Of a budget's target."""
REFERENCES: Final = (
    "efficientnet_b0", "mobilenetv2_100", "mobilenetv3_small", "mnasnet_a1", "tinynet_c",
)  # fmt: skip
"""What one would use without a search."""
EMA: Final = 0.98
"""Decay of averaged weights where trainings are compared before their end: a memory of about 50
steps, which takes away most of what a high learning rate adds to a loss."""


@dataclass(frozen=True)
class ColumnsConfig:
    """What the columns of a table hold, where their names and values do not tell it."""

    path: str | None = None  # names of files
    label: str | None = None  # the class, or several labels
    split: str | None = None  # train, val or test, or another of their names
    group: str | None = None  # of images that no split parts
    weight: str | None = None  # how often an image is trained on, relative to others


@dataclass(frozen=True)
class DatasetConfig:
    """Where the images come from. Splits that the data set lacks are carved from train."""

    name: str = "npz"  # of the reader of the images, which dataset=NAME sets too
    root: str | None = None  # folder or file of the images; of table: null: where the table lies
    path: str | None = None  # of table: the file of labels: .csv, .tsv, .jsonl, .parquet, .json
    columns: ColumnsConfig = field(default_factory=ColumnsConfig)
    separator: str | None = None
    # of table, with task=multilabel: what stands between the labels of a cell; null: ; | or , or a
    # line break, the first of them that any cell has
    group: str | None = None
    # what is not parted by a split: a column of the table | level:N, the folder N levels below the
    # class | a regular expression of file names, whose first bracket is the group
    layout: str = "auto"
    # of imagefolder, where a folder train may be either: auto | splits | classes
    on_unlabelled: str = "refuse"
    # refuse | skip: what images without a class lead to; with task=multilabel, refuse keeps images
    # of an empty label: they have none of the labels
    image_size: Any = None  # pixels, as proxy.resolution; files only; null: 1.5 times that
    resize: str = "crop"  # crop | pad | squash: how images become proxy.resolution's shape
    enlarge: bool = True
    # false: images smaller than proxy.resolution keep their size, in the middle of the background;
    # files only
    background: str = "white"  # under transparent pixels, and around images with resize=pad
    range: str = "auto"
    # of more than 8 bits, what becomes black and white: auto: the least and greatest of all
    # images | type: of the file's type | LOW..HIGH
    channels: int | None = None  # of every image; null: as they are, grey among colour as colour
    val_fraction: float = 1 / 6  # of the images; imagefolder: 0.15; where there is no own split
    test_fraction: float = 1 / 7  # likewise
    folds: int | None = None
    # of few images: train and val are divided into so many parts; the first is val, and the final
    # round trains its networks once without each, so that all of them judge; null: none
    near_duplicates: str = "ignore"
    # ignore | group: images that are nearly the same are never parted by a split, and none is
    # trained on that the data set's own val or test nearly holds
    on_corrupt: str = "refuse"  # refuse | skip: what an unreadable image leads to; files only
    download: bool = False  # fetch the images into root; cifar10 and cifar100 only
    cache: str | None = "auto"
    # of imagefolder and table: where decoded images are kept; auto: compound-nas in
    # $XDG_CACHE_HOME or ~/.cache; null: they are decoded at each start


@dataclass(frozen=True)
class StageConfig:
    """One stage of the space; a list left null is the space's own list."""

    channels: int = 16  # at width 1
    stride: int = 1  # 1 | 2
    repeats: list[int] = field(default_factory=lambda: [1])
    # choices of the number of blocks; 0: the stage is left out, its stride goes to the next
    kernel: list[int] | None = None  # null: space.kernel; the same of the next four
    expand_ratio: list[int] | None = None
    se_ratio: list[float] | None = None
    width: list[float] | None = None
    skip: list[bool] | None = None


@dataclass(frozen=True)
class SpaceConfig:
    """Choices per stage, and what all members share."""

    stages: list[StageConfig] = field(default_factory=list)
    # as [{channels: 16, repeats: [1, 2]}, {channels: 32, stride: 2}]
    stem: int = 16  # channels of the first convolution
    stem_stride: int = 2  # 1 | 2
    stem_width: list[float] = field(default_factory=lambda: [1.0])  # choices, times stem
    head: int = 128  # channels of the last convolution
    head_width: list[float] = field(default_factory=lambda: [1.0])  # choices, times head
    strides: list[str] | None = None
    # choices of where the map is halved, as 2-1-2-2: the stem's stride, then one for each stage;
    # null: stem_stride and those of the stages
    act: str = "silu"  # silu | relu | relu6 | hard_swish
    resolution: list[int] | None = None
    # choices of the height, the width in proportion; null: proxy.resolution alone
    kernel: list[int] = field(default_factory=lambda: [3, 5, 7])  # of stages without an own list
    expand_ratio: list[int] = field(default_factory=lambda: [1, 3, 4, 6])  # likewise
    se_ratio: list[float] = field(default_factory=lambda: [0.0, 0.25])  # likewise
    width: list[float] = field(default_factory=lambda: [1.0])  # likewise, times channels
    skip: list[bool] = field(default_factory=lambda: [True])  # likewise: whether input is added
    rounding: str = "paper"  # of channels × width: paper | floor | floor8
    global_residual: bool = False  # an experiment: all stages' outputs, projected, into the head


def bare_config() -> "RunConfig":
    """The defaults below those of any named data set or space."""
    return RunConfig(dataset=DatasetConfig(), space=SpaceConfig())


def dataset_named(name: str) -> DatasetConfig:
    """A data set of `conf/dataset`, without its root.

    Raises:
        ConfigError: there is none of this name; names the nearest.
    """
    return build(DatasetConfig, option("dataset", name), "dataset")


def space_named(name: str) -> SpaceConfig:
    """A space of `conf/space`.

    Raises:
        ConfigError: there is none of this name; names the nearest.
    """
    return build(SpaceConfig, option("space", name), "space")


CROP: Final = 12
"""Of an image's side, the share by which it is shifted at random at most: 2 of 28 pixels, as in the
longer trainings of the banks."""


def usual_padding(size: Size) -> int:
    """Pixels around an image that is cropped at random, where no number is asked for."""
    return round(size.shorter / CROP)


@dataclass(frozen=True)
class ProxyConfig:
    """The short training that stands for a long one."""

    epochs: int | None = None  # of each training; null: 12, more of few images: 600 steps
    resolution: Any = 28  # pixels: of a side, or height and width as 96x192
    batch_size: int = 64  # images
    optimizer: str = "adamw"  # adamw | sgd
    lr: float = 0.02  # the highest, after warm-up
    momentum: float = 0.9  # of sgd
    weight_decay: float = 0.05  # of the weights of convolutions and the classifier
    warmup_fraction: float = 0.2  # share of the steps in which lr rises
    label_smoothing: float = 0.05
    # share of each label spread over all classes; none with task=multilabel
    class_weights: str = "none"
    # none | balanced: in the loss each class counts alike | effective: nearly so, less for classes
    # of more than about 1,000 images; with task=multilabel none or balanced: in the loss of each
    # label the images with it count as much as those without
    balanced_batches: bool = False  # an epoch has as many images of each class, some of them again
    dropout: float = 0.0  # before the classifier
    drop_path: float = 0.0  # probability of leaving out the last residual block; less before
    drop_block: float = 0.0  # probability at the end of training, which it rises to
    drop_block_size: int = 7  # side of a dropped block in map elements, odd
    drop_block_shape: str = "square"  # square | circle
    crop_padding: int | None = None  # pixels around an image, which is then cropped at random;
    # null: a twelfth of its shorter side
    flip: bool = True  # images left to right, at random
    rand_augment: float = 0.0  # magnitude up to 10: a colour and a geometric change per image
    cutout: int = 0  # pixels, the side of a square of the mean colour
    mixup: float = 0.0  # α of Beta(α, α)
    cutmix: float = 0.0  # α; with mixup each batch gets one of the two
    start_resolution: float = 1.0  # share of the resolution in the first epoch; the last has all
    ema: float | None = None  # decay per step of averaged weights; null: 0.98 with a pruner, else 0
    precision: str = "auto"  # fp32 | bf16: autocast | auto: what a measurement finds faster
    kernels: str = "auto"  # auto: compiled operators where there is a compiler | torch
    init_from: str | None = None  # supernet: members begin with the weights they have there

    @property
    def padding(self) -> int:
        """Pixels around an image that is cropped at random, the default resolved."""
        return usual_padding(self.size) if self.crop_padding is None else self.crop_padding

    @property
    def size(self) -> Size:
        """Height and width of what networks see, in pixels."""
        return size_from(self.resolution, "proxy.resolution")

    @property
    def whole_epochs(self) -> int:
        """Epochs of a training to its end; `EPOCHS` as long as images are to decide."""
        return EPOCHS if self.epochs is None else self.epochs


@dataclass(frozen=True)
class BudgetConfig:
    """What a candidate may cost, counted before it is built. Numbers or 600k, 25M, 0.4G.

    With `max_macs` a candidate above it is never built. With a target every candidate's
    widths are solved so that its `metric` is the target ± `tolerance`; of `latency_ms` it is a
    number of milliseconds, a batch, as predicted by a table of this device.
    """

    max_macs: Any = None  # of a candidate, without a target; null: 1M
    target: Any = None
    # what every candidate is to cost; null: 1M, but none with max_macs or objective=pareto
    metric: str = "macs"  # of the target: macs | params | activations | latency_ms
    latency_table: str | None = None  # of latency_ms: what `python -m blocks latency-table` wrote
    tolerance: float = 0.02  # share of the target
    solve: str = "width"  # width | width_depth: the repeats too, where widths would change much


@dataclass(frozen=True)
class RewardConfig:
    """ACC·(macs/target)^exponent, EfficientNet §3.2; steers and picks B0 in objective=reward."""

    target_macs: Any = None  # null: budget.max_macs
    exponent: float = -0.07  # of the ratio of macs; the paper's is -0.07


@dataclass(frozen=True)
class SearchConfig:
    """How long to search, and what to do around it."""

    trials: int = 40  # candidates to train
    minutes: float | None = None
    # of wall clock for candidates and the final round; in the last two fifths of it, which are the
    # final round's, no further candidate is begun
    pruner: str | None = None
    # none | asha | hyperband: stop the unpromising early; null: asha, but none with two objectives
    # or a supernet
    reduction_factor: int = 3  # of each rung one candidate in so many goes on
    min_epochs: int | None = None
    # the first rung; null: a third of proxy.epochs, but not before 200 steps
    metric: str | None = None
    # what networks are judged by: accuracy | balanced_accuracy: the mean of the classes' own |
    # macro_f1: the mean of their F1 | map: the mean of the labels' average precision, of
    # task=multilabel | loss: as objective=loss; null: accuracy, or of task=multilabel map, and at
    # a budget.target the search steers by loss
    rung_metric: str = "val_loss"
    # of objective=accuracy: val_loss, with all classes alike where search.metric has them so |
    # val_accuracy: search.metric itself
    enqueue: list[str] = field(default_factory=list)  # spellings to evaluate first
    warm_start: str | None = None  # a study of results_dir whose best are evaluated first
    warm_start_top: int = 5  # how many of them
    zero_cost: int = 0  # random members that are scored untrained before the first trial; 0: none
    zero_cost_top: int = 5  # of the best of them, which are evaluated first
    references: list[str] = field(default_factory=lambda: list(REFERENCES))
    # published networks, cut to the images and brought to the budget; trained by the same proxy
    controls: int = 3  # random members within the budget, trained beside the search
    finalists: int = 4  # the best candidates, which are trained for longer to choose B0 among them
    final_epochs: int | None = None
    # of each of them, and of the references; null: a third more than proxy.epochs
    final_seeds: int = 2
    # trainings of those that may still be the best after the first; with dataset.folds not read, as
    # there is one for each fold
    scale: bool = True  # go on to `scaling fit` and `scaling emit`
    probe: bool = True  # fit a linear probe on raw pixels; say so where B0 is below it


@dataclass(frozen=True)
class RunConfig:
    """All settings of `python -m search run`."""

    study: str = "main"  # results go to results_dir/study
    results_dir: str = "results"  # folder of the studies
    seed: int = 0  # the same seed, the same trials
    sampler: str = "surrogate"  # surrogate | tpe | gp | nsga2 | evolution | random
    evaluator: str = "train"  # train: by the proxy | supernet: by weights that all share
    executor: str = "processes"
    # where candidates are trained: processes of this machine | ray: its tasks | submitit: Slurm
    storage: str | None = None
    # of the sampler's memory: journal: a file of the study | postgresql+psycopg://USER@HOST/NAME |
    # mysql+pymysql://USER@HOST/NAME, without a password: that is in PGPASSWORD or MYSQL_PWD; null:
    # where the study has it, a new one in its journal
    objective: str | None = None
    # pareto: accuracy up, macs down | reward: accuracy·(macs/target)^exponent | accuracy | loss: of
    # validation, which few images measure better than accuracy; null: loss at a budget.target, else
    # pareto; search.metric says which accuracy, and where it is given null is accuracy at a target
    task: str = "classes"  # classes: one for each image | multilabel: any number of labels
    dataset: DatasetConfig = field(default_factory=lambda: dataset_named(DATASET))
    space: SpaceConfig = field(default_factory=lambda: space_named(SPACE))
    proxy: ProxyConfig = field(default_factory=ProxyConfig)
    budget: BudgetConfig = field(default_factory=BudgetConfig)
    reward: RewardConfig = field(default_factory=RewardConfig)
    search: SearchConfig = field(default_factory=SearchConfig)
    workers: WorkersConfig = field(default_factory=WorkersConfig)
    ray: RayConfig = field(default_factory=RayConfig)
    slurm: SlurmConfig = field(default_factory=SlurmConfig)
    fidelity: FidelityConfig = field(default_factory=FidelityConfig)
    supernet: SupernetConfig = field(default_factory=SupernetConfig)

    def __post_init__(self) -> None:
        if self.storage is not None:  # nothing that shows settings shows its password
            object.__setattr__(self, "storage", Address(self.storage))

    @property
    def where(self) -> Where:
        """Where trainings run."""
        folder = Path(self.results_dir).expanduser() / self.study / "workers"
        return Where(self.executor, self.ray, self.slurm, folder)

    @property
    def several(self) -> bool:
        """Whether an image may have several labels."""
        return self.task == "multilabel"

    @property
    def training(self) -> ProxyConfig:
        """The proxy, its defaults resolved."""
        ema = self.proxy.ema
        if ema is None:
            ema = 0.0 if self.pruner == "none" else EMA
        return replace(self.proxy, ema=ema)

    @property
    def trial_minutes(self) -> float | None:
        """Minutes after which no further candidate is begun: the rest is the final round's."""
        minutes = self.search.minutes
        if minutes is None or self.search.finalists == 1:
            return minutes
        return TRIAL_SHARE * minutes

    @property
    def short_epochs(self) -> int:
        """Epochs after which a candidate may first be stopped; all where none is."""
        return self.proxy.whole_epochs if self.pruner == "none" else self.min_epochs

    @property
    def trial_epochs(self) -> int:
        """Epochs that a candidate is trained for; none where the supernet judges it."""
        return 0 if self.evaluator == "supernet" else self.proxy.whole_epochs

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
        return self.fidelity.epochs or 3 * self.proxy.whole_epochs

    @property
    def final_epochs(self) -> int:
        """Epochs of a training of the final round."""
        return self.search.final_epochs or math.ceil(4 * self.proxy.whole_epochs / 3)

    @property
    def max_macs(self) -> int:
        """The budget in multiply-adds."""
        most = BUDGET if self.budget.max_macs is None else self.budget.max_macs
        return parse_quantity("budget.max_macs", most)

    @property
    def target(self) -> Any:
        """What every candidate is to cost, as it is written; None where none is asked for."""
        bounded = self.budget.max_macs is not None or self.objective == "pareto"
        if self.budget.target is not None or bounded or self.budget.metric != "macs":
            return self.budget.target
        return BUDGET

    @property
    def pruner(self) -> str:
        """The pruner, its default resolved."""
        if self.search.pruner is not None:
            return self.search.pruner
        whole = self.aim == "pareto" or self.evaluator == "supernet" or self.proxy.whole_epochs == 1
        return "none" if whole else "asha"

    @property
    def min_epochs(self) -> int:
        """The first rung, its default resolved."""
        return self.search.min_epochs or max(1, self.proxy.whole_epochs // 3)

    @property
    def aim(self) -> str:
        """The objective, its default resolved."""
        metric = self.search.metric
        if self.objective is None and metric != "loss" and self.target is None:
            return "pareto"
        return self.objective or ("loss" if metric in (None, "loss") else "accuracy")

    @property
    def quality(self) -> Quality:
        """What networks are judged by."""
        return quality_named(self.search.metric, self.several)

    @property
    def steered_by(self) -> str:
        """The objective and what it is of, for people: `loss`, `pareto of balanced accuracy`."""
        if self.quality == ACCURACY:
            return self.aim
        if self.aim == "accuracy":
            return self.quality.words
        return f"{self.aim} of {self.quality.words}"
