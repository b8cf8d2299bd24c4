"""`python -m scaling compare`."""

from typing import Final

import numpy as np
from rich.table import Table

from blocks.arch import format_arch
from blocks.console import console, duration, millions, network
from scaling.commands.paper_table import show_table
from scaling.comparison.contenders import Contender
from scaling.comparison.run import ComparePlan, Comparison, compare
from scaling.differences import in_points
from scaling.settings import read_settings
from search.commands.progress import TrialProgress
from search.study.objective import Objective

FORMER: Final = ("published", "paper")
"""What the fitted coefficients are asked to be no worse than."""


def run(arguments: list[str]) -> None:
    """Compare rules by training, or rebuild a table of the paper."""
    config = read_settings(arguments)
    if config.paper is not None:
        show_table(config.paper)
        return
    found = compare(config, _Screen())
    _left_out(found)
    for ratio in dict.fromkeys(each.ratio for each in found.outcome.contenders):
        console.print(_table(found, ratio))
    _verdicts(found)
    files = found.folder / "scaling" / "compare.csv"
    console.print(f"wrote {files}, compare.json, compare.png")


class _Screen:
    """Says what will be trained, and shows how far it is."""

    def begin(self, plan: ComparePlan) -> TrialProgress:
        ratios = len({each.ratio for each in plan.contenders})
        rules = len({each.rule for each in plan.contenders})
        line = (
            f"{rules} rules at {ratios} cost {'ratio' if ratios == 1 else 'ratios'} make "
            f"{plan.networks} different networks of {plan.study}'s B0; with B0 and {plan.seeds} "
            f"seeds each {plan.trainings} trainings of {plan.epochs} "
            f"epoch{'s' if plan.epochs > 1 else ''}, {plan.left} to do"
        )
        if plan.seconds is not None:
            line += f": about {duration(plan.seconds)}, by the time that B0's training took"
        console.print(line)
        for lost in plan.missing:
            console.print(
                f"  {lost.rule} is not compared at {lost.ratio:g}×: {lost.reason}", markup=False
            )
        return TrialProgress("compare", plan.trainings, objective=Objective.by(plan.quality))


def _left_out(found: Comparison) -> None:
    """Networks of which a training failed, in a log by the rules that make them."""
    for spelling in found.failed:
        rules = [
            f"{each.rule} at {each.ratio:g}×"
            for each in found.outcome.contenders
            if format_arch(each.arch) == spelling
        ]
        said = network(spelling, ", ".join(rules) or "B0")
        console.print(f"left out, as a training of it failed: {said}")


def _table(found: Comparison, ratio: float) -> Table:
    settings = found.settings
    screen = Table(
        title=f"{ratio:g} times B0's macs ±{settings.tolerance:.0%}, {settings.seeds} seeds",
        title_justify="left",
    )
    screen.add_column("rule")
    for heading in (
        "d", "w", "r", "off rule", "pixels", "macs", "params",
        f"{settings.split} {found.quality.words}", "fitted less it", "P(fitted ≥ it)",
    ):  # fmt: skip
        screen.add_column(heading, justify="right")
    for each in found.outcome.contenders:
        if each.ratio == ratio:
            screen.add_row(*_cells(found, each))
    return screen


def _cells(found: Comparison, each: Contender) -> list[str]:
    outcome, key = found.outcome, (each.rule, each.ratio)
    reached = outcome.accuracies.get(format_arch(each.arch))
    accuracy = "failed"
    if reached is not None:
        accuracy = f"{100 * np.mean(reached):.2f} ± {100 * np.std(reached, ddof=1):.2f}"
    if key in outcome.same:
        accuracy = f"same network as {outcome.same[key]}"
    less = outcome.differences.get(key)
    return [
        each.rule,
        f"{each.depth:.2f}",
        f"{each.width:.2f}",
        f"{each.resolution:.2f}",
        f"{each.degrees:.0f}°",
        str(each.arch.image),
        f"{millions(each.cost.macs)} ({each.residual:+.1%})",
        f"{each.cost.params:,}",
        accuracy,
        "" if less is None else in_points(less.value, less.low, less.high),
        "" if less is None else f"{less.probability:.2f}",
    ]


def _verdicts(found: Comparison) -> None:
    outcome = found.outcome
    deviations = [
        f"{100 * each:.2f} points at {ratio:g}×" for ratio, each in outcome.deviations.items()
    ]
    console.print(
        f"noise of one training: {', '.join(deviations)}; intervals are 95% over seeds, on "
        f"these {found.images} {found.settings.split} images"
    )
    for rule, said in found.verdicts.items():
        console.print(f"  against {rule}: {said}")
    for rival in FORMER:
        for (rule, ratio), chance in outcome.chances.items():
            if rule == rival:
                console.print(
                    f"P(a training by the fitted coefficients ≥ one by {rival}) at {ratio:g}×: "
                    f"{chance.value:.2f} (95% {chance.low:.2f} to {chance.high:.2f})"
                )
