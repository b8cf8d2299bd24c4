"""What a candidate may cost: a limit, or a target that its widths are solved for.

With a target a search at one budget compares shapes alone, as MnasNet and EfficientNet compare
networks "at 400M multiply-adds": no evaluation is spent on a network that is too large or
needlessly small. `search.space.widths` solves the widths.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blocks.console import millions
from blocks.cost import ArchColumns, CostColumns
from blocks.latency.predict import Predictor, load_predictor
from search.config.quantities import parse_milliseconds, parse_quantity
from search.config.schema import LATENCY, RunConfig


@dataclass(frozen=True)
class Budget:
    """What a candidate may cost: at most `most`, or `target` within ± `tolerance`.

    `metric` is a field of `blocks.cost.Cost`, or `latency_ms`: milliseconds a batch as predicted
    by `latency_table`, for a target only. `solve` says what meets a target: the width of all
    layers, or that and the repeats of all stages. `act` is the activation of all networks.
    """

    metric: str
    most: int
    target: float | None = None
    tolerance: float = 0.02
    solve: str = "width"
    rounding: str = "paper"
    latency_table: Path | None = None
    act: str = "silu"

    def __str__(self) -> str:
        if self.target is None:
            return f"{millions(self.most)} {self.metric}"
        share = f"{100 * self.tolerance:.3g}%"
        return f"{self.say(self.target)} ± {share}, {self.solve} solved"

    def say(self, value: float) -> str:
        """A value of the metric, for people."""
        if self.predicted:
            return f"{value:.4g} ms predicted"
        return f"{millions(round(value))} {self.metric}"

    @property
    def predictor(self) -> Predictor | None:
        """Of the latency table; None where the budget is counted.

        Raises:
            LatencyError: the table cannot be read.
        """
        return None if self.latency_table is None else load_predictor(self.latency_table)

    @property
    def predicted(self) -> bool:
        """Whether the metric is a prediction, neither whole nor rising with every width."""
        return self.metric == LATENCY

    @property
    def limits(self) -> tuple[float, float]:
        """Least and most of the metric that a candidate may have."""
        if self.target is None:
            return 0.0, float(self.most)
        return self.target * (1 - self.tolerance), self.target * (1 + self.tolerance)

    def measure(
        self, columns: ArchColumns, num_classes: int, costs: CostColumns | None = None
    ) -> NDArray[Any]:
        """The metric of each network, (archs,): counted, or predicted milliseconds.

        `costs` are their counts, where they are known.
        """
        if self.predicted:
            assert self.predictor is not None
            return self.predictor.predict_columns(columns, num_classes, self.act)
        costs = columns.count(num_classes) if costs is None else costs
        counted: NDArray[np.int64] = getattr(costs, self.metric)
        return counted

    def excess(self, value: Any) -> Any:
        """How far outside a value of the metric is, as a share: above 0 it is infeasible.

        Takes a number, or a column of them.
        """
        if self.target is None:
            return value / self.most - 1.0
        return np.abs(value / self.target - 1.0) - self.tolerance


def cost_budget(config: RunConfig) -> Budget:
    """The budget of a search, as its candidates are held to it.

    Raises:
        ConfigError: a limit or a target that is no quantity.
    """
    target = config.target
    metric = "macs" if target is None else config.budget.metric
    parse = parse_milliseconds if metric == LATENCY else parse_quantity
    table = config.budget.latency_table
    return Budget(
        metric=metric,
        most=config.max_macs,
        target=None if target is None else parse("budget.target", target),
        tolerance=config.budget.tolerance,
        solve=config.budget.solve,
        rounding=config.space.rounding,
        latency_table=None if table is None else Path(table).expanduser(),
        act=config.space.act,
    )


def front_metric(config: RunConfig) -> str:
    """The cost that a front is drawn against: `macs`, or `params` where a budget gives all networks
    the same macs."""
    budget = cost_budget(config)
    return "params" if budget.metric == "macs" and budget.target is not None else "macs"


def budget_macs(config: RunConfig) -> int | None:
    """What the budget says of multiply-adds; None where its target is another metric's."""
    budget = cost_budget(config)
    if budget.metric != "macs":
        return None
    return budget.most if budget.target is None else round(budget.target)


def target_macs(config: RunConfig) -> int:
    """T of the reward, in multiply-adds: `reward.target_macs`, or else the budget."""
    if config.reward.target_macs is None:
        return budget_macs(config) or config.max_macs
    return parse_quantity("reward.target_macs", config.reward.target_macs)
