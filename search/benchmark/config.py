"""Settings of `python -m search benchmark`."""

import math
from dataclasses import dataclass, field
from typing import Any, Final

from blocks.names import choose
from search.config.checks import check_at_least, validate_study_name
from search.config.quantities import parse_quantity
from search.errors import ConfigError
from search.samplers import SAMPLERS

EVALUATORS: Final = ("table",)
CONTROL: Final = "random"
OURS: Final = "surrogate"


@dataclass(frozen=True)
class TableConfig:
    """A benchmark file, how to read it, and how many predicted networks to add to it."""

    path: str | None = None  # required
    adapter: str = "spelling"  # spelling | accel_nasbench | a Python file that defines read(path)
    num_classes: int = 1000  # of the counted costs
    features: list[str] = field(default_factory=list)
    """Columns known before training, such as zero-cost scores."""
    fill: int = 0  # further random feasible networks; all metrics are then predictions


@dataclass(frozen=True)
class TableBudgetConfig:
    """Which networks of the table may be chosen. Numbers, or 600k, 25M, 0.4G."""

    metric: str = "macs"  # any column
    min: Any = None
    max: Any = None


@dataclass(frozen=True)
class BenchmarkConfig:
    """All settings of `python -m search benchmark`, and their defaults."""

    study: str = "benchmark"
    results_dir: str = "results"
    seed: int = 0
    evaluator: str = "table"
    table: TableConfig = field(default_factory=TableConfig)
    objectives: list[str] = field(default_factory=lambda: ["val_accuracy"])
    """Columns; "-latency" is to be minimised; two trace a front."""
    budget: TableBudgetConfig = field(default_factory=TableBudgetConfig)
    samplers: list[str] = field(
        default_factory=lambda: [OURS, "tpe", "gp", "nsga2", "evolution", CONTROL]
    )
    seeds: int = 20
    evaluations: int = 100  # of every sampler: curves and areas are compared over these
    longer: dict[str, int] = field(default_factory=lambda: {"tpe": 200, CONTROL: 1000})
    """For how many evaluations another sampler's are worth."""
    workers: int = 2

    @property
    def columns(self) -> list[str]:
        """The objectives' columns, without the signs."""
        return [name.removeprefix("-") for name in self.objectives]

    @property
    def limits(self) -> tuple[float, float]:
        """The least and the most that the budget allows.

        Raises:
            ConfigError: one of them is no quantity.
        """
        least, most = self.budget.min, self.budget.max
        return (
            0.0 if least is None else float(parse_quantity("budget.min", least)),
            math.inf if most is None else float(parse_quantity("budget.max", most)),
        )

    @property
    def axis(self) -> str:
        """What a regret is of, for people."""
        if len(self.objectives) == 2:
            return f"hypervolume lacking ({', '.join(self.objectives)})"
        return f"simple regret of {self.objectives[0]}"

    def length(self, sampler: str) -> int:
        """Evaluations of each run of a sampler."""
        return self.longer.get(sampler, self.evaluations)


def validate_benchmark(config: BenchmarkConfig) -> None:
    """Check what types cannot say.

    Raises:
        ConfigError: names the setting, its value, and what was expected.
    """
    choose("evaluator", config.evaluator, EVALUATORS, ConfigError)
    validate_study_name(config.study)
    if config.table.path is None:
        raise ConfigError("table.path is missing; give the benchmark's file as table.path=…")
    if not config.samplers:
        raise ConfigError("samplers is empty; expected one or more")
    for name in [*config.samplers, *config.longer]:
        choose("samplers", name, SAMPLERS, ConfigError)
    if len(set(config.samplers)) < len(config.samplers):
        raise ConfigError(f"samplers={config.samplers} holds one twice")
    check_at_least(
        {
            "seeds": (config.seeds, 2),
            "evaluations": (config.evaluations, 2),
            "workers": (config.workers, 1),
            "table.num_classes": (config.table.num_classes, 1),
            "table.fill": (config.table.fill, 0),
            **{f"longer.{name}": (number, 2) for name, number in config.longer.items()},
        }
    )
    if len(config.objectives) not in (1, 2):
        raise ConfigError(
            f"objectives={config.objectives} are {len(config.objectives)}; expected one or two"
        )
