"""Networks that cost what was asked: the target solved on the rounded, counted architecture.

A rule says how deep, wide and large a network should be; rounding makes whole repeats, channels
and pixels of it, and these decide what it really costs (EfficientNet-B0 by the paper's triple and
rounding: 2.57 times, where twice was meant). Here the networks around the rule's point are
counted, and of those that meet the target the nearest to the rule is taken.
"""

from collections.abc import Sequence

from blocks.arch import ArchSpec
from blocks.cost import count
from scaling.compound import ScalingError
from scaling.rule_kinds import Rule
from scaling.rule_search import REACHES, RuleSearch
from scaling.target import Solution, Target


def solve(
    baseline: ArchSpec,
    rule: Rule,
    target: Target,
    num_classes: int,
    rounding: str = "paper",
    keep: bool = True,
) -> Solution:
    """The network near `rule` that costs `target`, or the nearest to it that rounding allows.

    With `keep`, as a family needs, one with less depth, width or resolution than the baseline is
    taken only where nothing else costs the target, or the rule says so; without, the nearest to the
    rule is, as a comparison of rules needs.

    Raises:
        ScalingError: `rule` never reaches the target, or only where no map is left.
    """
    (solution,) = solve_targets(baseline, rule, [target], num_classes, rounding, keep)
    return solution


def solve_targets(
    baseline: ArchSpec,
    rule: Rule,
    targets: Sequence[Target],
    num_classes: int,
    rounding: str = "paper",
    keep: bool = True,
) -> list[Solution]:
    """`solve` of several targets of one metric, counted together.

    Raises:
        ScalingError: as `solve`; or targets of more than one metric.
    """
    base = count(baseline, num_classes)
    if len({target.metric for target in targets}) > 1:
        raise ScalingError("the targets are of more than one metric; expected one")
    found: dict[int, Solution] = {}
    for number, target in enumerate(targets):
        if target.value == getattr(base, target.metric):
            found[number] = Solution(baseline, base, 1.0, 1.0, 1.0, 0.0, 0.0)
    search = RuleSearch(baseline, base, rule, num_classes, rounding, keep)
    for reach in REACHES:
        # Those that the nearer networks did not bring within their tolerance, or only with less
        # than the baseline has.
        left = [
            number
            for number, target in enumerate(targets)
            if number not in found or _rank(found[number], target) > (0.0, False)
        ]
        if not left:
            break
        tried = search.solve([targets[number] for number in left], reach)
        for number, solution in zip(left, tried, strict=True):
            target = targets[number]
            if number not in found or _rank(solution, target) < _rank(found[number], target):
                found[number] = solution
    for number, target in enumerate(targets):
        search.check(target, found[number])
    return [found[number] for number in range(len(targets))]


def _rank(found: Solution, target: Target) -> tuple[float, bool]:
    """By how much it misses the target's tolerance, then whether it has less than the baseline."""
    miss = abs(found.residual)
    return (miss if miss > target.tolerance else 0.0, found.less)
