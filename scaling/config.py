"""The settings of `python -m scaling` and of the functions of `scaling`, with their defaults.

They are written here alone: `conf/scaling.yaml` names this schema, and a test compares what
`python -m scaling --help` says of them.
"""

from dataclasses import dataclass, field
from typing import Any, Final

from scaling.compound import ScalingCoefficients, ScalingError

FEWEST: Final = 8
"""Networks around a B0, of which fewer say nothing of depth, width and resolution."""


@dataclass(frozen=True)
class GridConfig:
    """The paper's small grid at φ = 1: α, β, γ ≥ 1 with |α·β²·γ² − cost| ≤ tolerance."""

    step: float = 0.1
    tolerance: float = 0.05
    cost: float = 2.0
    epochs: int | None = None  # null: the study's proxy.epochs
    constraint: str = "nominal"  # nominal: α·β²·γ² | counted: macs over those of B0


@dataclass(frozen=True)
class FitConfig:
    """The response surface: how many networks around B0 are trained, and what is made of them."""

    points: int = 24  # different networks
    minutes: float | None = None  # most of all trainings, by prediction; may leave fewer points
    repeated: int = 4  # networks that are trained with all of the seeds
    seeds: int = 3
    epochs: Any = None
    # a number, or a list: a dimension of the design; null: proxy.epochs, or with a pruner the first
    # rung
    train_fraction: Any = 1.0  # share of the training images, or a list: a dimension
    cost: float = 2.0  # times B0's, at which the coefficients are best
    metric: str = "macs"  # that the cost is of: macs | params | activations | latency_ms
    latency_table: str | None = None  # of latency_ms: what `python -m blocks latency-table` wrote
    tolerance: float = 0.03  # of that cost, of the real network that is named beside them
    draws: int = 1000  # surfaces that the trainings leave possible
    trained: bool = False  # also take in the members that `scaling train` has trained
    candidates: bool = False  # also take in what the search has trained


@dataclass(frozen=True)
class CompareConfig:
    """Rules at equal counted macs, trained alike with the same number of seeds."""

    ratios: list[float] = field(default_factory=lambda: [2.0, 4.0])  # of the B0's macs
    seeds: int = 3
    rules: list[str] = field(
        default_factory=lambda: [
            "paper", "published", "dwr", "uniform", "width", "depth", "resolution",
        ]
    )  # beside the fitted one; paper is the triple 1.2, 1.1, 1.15  # fmt: skip
    random: int = 2  # random directions beside them
    tolerance: float = 0.03  # of the macs, above which a network is not compared
    epochs: int | None = None  # null: the study's proxy.epochs
    split: str = "test"  # test | val: whose accuracies are compared; val chose the coefficients


@dataclass(frozen=True)
class ResolutionConfig:
    """A trained network at other resolutions than its own."""

    percents: list[float] | None = None  # of its resolution; null: 20, 30, … 100, 115, 130, 150
    max_macs: Any = None  # the budget; a number or 600k, 25M, 0.4G; null: none
    weights: str | None = None  # null: b0.pt of the study
    train: bool = False  # also train it at each resolution, by the study's proxy
    epochs: int | None = None  # of these trainings; null: the study's proxy.epochs
    seeds: int = 1  # of these trainings


@dataclass(frozen=True)
class ScalingConfig:
    """All settings of `python -m scaling`."""

    study: str | None = None  # null: main, or the baseline's name where one is given
    results_dir: str = "results"
    executor: str | None = None
    # where fit and compare train: processes | ray | submitit; null: where the study's trials did
    baseline: str | None = None  # a published network or a spelling; null: the study's B0
    coefficients: Any = "fitted"  # fitted | published | [alpha, beta, gamma]
    num_classes: int = 1000  # of a given baseline; a study has its own
    members: int = 8  # b0 … b7
    rounding: str | None = None  # paper | floor | floor8; null: the study's, else paper
    method: str = "surface"  # of fit: surface | grid
    rule: str | None = None  # of scaling.rules; null: compound with the coefficients
    exact: bool | None = None  # null: yes, but for the published table
    metric: str = "macs"  # of the exact targets: macs | params | activations
    tolerance: float = 0.02  # of the exact targets
    phis: list[float] | None = None  # instead of members: 2^φ × B0 each
    budgets: list[Any] | None = None  # instead of members: quantities of the metric
    latency_ms: list[float] | None = None  # instead of members: measured, within 10%
    device: str = "here"  # of latency_ms: here (the GPU, if there is one) | cpu | cuda
    batch: int = 1  # of latency_ms
    threads: int = 1  # of latency_ms
    runtime: str = "eager"  # of latency_ms: eager | compile | onnxruntime
    grid: GridConfig = field(default_factory=GridConfig)
    fit: FitConfig = field(default_factory=FitConfig)
    compare: CompareConfig = field(default_factory=CompareConfig)
    paper: str | None = None  # of compare: table3 | table7, rebuilt and counted, nothing trained
    resolution: ResolutionConfig = field(default_factory=ResolutionConfig)


def listed(value: Any) -> list[Any]:
    """A setting that may be one value or a list, as a list; null is none."""
    if value is None:
        return []
    return list(value) if isinstance(value, list | tuple) else [value]


def literal_table(config: ScalingConfig) -> bool:
    """Whether the family is the published table as it stands."""
    published = config.rule == "published" or (
        config.rule is None and config.coefficients == "published"
    )
    between = config.phis is not None or config.budgets is not None
    return published and not (config.exact or between or config.latency_ms is not None)


def given_coefficients(config: ScalingConfig) -> ScalingCoefficients:
    """The triple spelt on the command line.

    Raises:
        ScalingError: not three numbers of 1 or more.
    """
    triple = config.coefficients
    if not isinstance(triple, list) or len(triple) != 3:
        raise ScalingError(
            f"coefficients={triple} is not a triple; expected [alpha,beta,gamma], "
            "fitted or published"
        )
    return ScalingCoefficients(*triple)
