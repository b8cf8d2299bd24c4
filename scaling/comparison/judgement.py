"""What the trainings of a comparison say: differences with intervals, and a verdict in words."""

import math
from dataclasses import dataclass

from blocks.arch import format_arch
from scaling.comparison.contenders import FITTED, Contender, Missing
from scaling.differences import (
    Chance,
    Difference,
    chance_to_win,
    difference,
    in_points,
    mean_difference,
    pooled_noise,
)
from search.errors import StudyError


@dataclass(frozen=True)
class Outcome:
    """What a comparison found; accuracies by spelling are of shape (seeds,).

    `differences` are fitted less the rule, by (rule, ratio); `means` over the ratios that both
    have; `chances` those of one training to be no worse.
    """

    contenders: list[Contender]
    missing: list[Missing]
    accuracies: dict[str, list[float]]
    differences: dict[tuple[str, float], Difference]
    chances: dict[tuple[str, float], Chance]
    means: dict[str, Difference]
    same: dict[tuple[str, float], str]
    deviations: dict[float, float]


def judge(
    contenders: list[Contender],
    missing: list[Missing],
    accuracies: dict[str, list[float]],
    seeds: int,
) -> Outcome:
    """Differences of the fitted rule to every other, from accuracies by spelling.

    The noise is that of a ratio's networks together, each counted once however many rules make it.

    Raises:
        StudyError: the fitted rule's network, or every other one, is not among them.
    """
    differences: dict[tuple[str, float], Difference] = {}
    chances: dict[tuple[str, float], Chance] = {}
    same: dict[tuple[str, float], str] = {}
    deviations: dict[float, float] = {}
    for ratio in dict.fromkeys(each.ratio for each in contenders):
        first: dict[str, str] = {}
        for each in contenders:
            if each.ratio == ratio:
                spelling = format_arch(each.arch)
                if spelling in first:
                    same[each.rule, ratio] = first[spelling]
                first.setdefault(spelling, each.rule)
        trained = {rule: accuracies[arch] for arch, rule in first.items() if arch in accuracies}
        if FITTED not in trained or len(trained) < 2:
            raise StudyError(
                f"too few networks of {ratio:g} times B0's macs were trained to compare: "
                f"{', '.join(trained) or 'none'}"
            )
        noise = pooled_noise(list(trained.values()))
        deviations[ratio] = math.sqrt(noise.variance)
        for each in contenders:
            rule = same.get((each.rule, ratio), each.rule)
            if each.ratio == ratio and rule in trained and rule != FITTED:
                key = each.rule, ratio
                differences[key] = difference(trained[FITTED], trained[rule], noise)
                chances[key] = chance_to_win(differences[key], seeds)
    means = {}
    for rule in dict.fromkeys(each.rule for each in contenders):
        parts = [found for (name, _), found in differences.items() if name == rule]
        if parts:
            means[rule] = mean_difference(parts)
    return Outcome(contenders, missing, accuracies, differences, chances, means, same, deviations)


def verdicts(outcome: Outcome) -> dict[str, str]:
    """In words, by rule: whether the fitted coefficients are better, worse, or cannot be told."""
    said = {}
    for rule in dict.fromkeys(each.rule for each in outcome.contenders):
        if rule == FITTED:
            continue
        ratios = [each.ratio for each in outcome.contenders if each.rule == rule]
        alike = [ratio for ratio in ratios if outcome.same.get((rule, ratio)) == FITTED]
        if rule not in outcome.means:
            said[rule] = "the same network" if alike == ratios else "not trained"
            continue
        mean = outcome.means[rule]
        word = "indistinguishable"
        if mean.distinguishable:
            word = "fitted is better" if mean.value > 0 else "fitted is worse"
        number = sum(name == rule for name, _ in outcome.differences)
        said[rule] = (
            f"{word}: {in_points(mean.value, mean.low, mean.high)} points"
            + (f" in the mean of {number} ratios" if number > 1 else "")
            + "".join(f", the same network at {ratio:g}×" for ratio in alike)
            + f"; P(fitted ≥ {rule}) {mean.probability:.2f}"
        )
    return said
