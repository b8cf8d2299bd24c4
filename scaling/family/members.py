"""Which members a family has, by its settings; nothing is built or written here."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from blocks.arch import ArchSpec
from blocks.cost import count
from scaling.compound import ScalingCoefficients, ScalingError
from scaling.config import ScalingConfig, given_coefficients, literal_table
from scaling.family.member import (
    Member,
    baseline_member,
    compound_member,
    formula_member,
    published_family,
    solved_member,
)
from scaling.fitting.record import Fitted
from scaling.latency_targets import QUIET, LatencyListener, measure_here, solve_latencies
from scaling.rule_kinds import Rule, compound
from scaling.rules import RULES, find_rule
from scaling.solve import solve_targets
from scaling.target import MOST, Target
from search.config.quantities import parse_quantity
from search.study.baseline import Baseline


@dataclass(frozen=True)
class Origin:
    """What a family grows from.

    `fitted`: the coefficients of a study, where those are asked for, and `trained` the macs over
    B0's of the largest network that they were fitted to. `dataset`: name and sha256 of its images,
    where b0.yaml says them.
    """

    arch: ArchSpec
    num_classes: int
    rounding: str
    fitted: ScalingCoefficients | None = None
    trained: float | None = None
    dataset: dict[str, str] | None = None


def origin_of(
    chosen: Baseline,
    fitted: Fitted | None,
    rounding: str | None,
    dataset: dict[str, str] | None = None,
) -> Origin:
    """A study's B0, by what was fitted for it, if that is asked for."""
    if fitted is None:
        return Origin(chosen.arch, chosen.num_classes, rounding or chosen.rounding, dataset=dataset)
    return Origin(
        chosen.arch,
        chosen.num_classes,
        rounding or fitted.rounding or chosen.rounding,
        fitted.coefficients,
        fitted.trained,
        dataset,
    )


def find_members(
    config: ScalingConfig, origin: Origin, listener: LatencyListener = QUIET
) -> list[Member]:
    """The members that the settings ask for, b0 first unless a smaller one is asked for.

    Raises:
        ScalingError, ArchError, LatencyError: see the messages.
    """
    members = _find(config, origin, listener)
    for member in members:
        if member.cost.macs > MOST:
            raise ScalingError(
                f"{member.name} would have {member.cost.macs:.3g} macs; expected at most "
                f"{MOST:.0e}: fewer members or smaller coefficients"
            )
    return members


def _find(config: ScalingConfig, origin: Origin, listener: LatencyListener) -> list[Member]:
    if literal_table(config):
        published = published_family(origin.arch, origin.rounding, origin.num_classes)
        return published[: config.members]
    coefficients: ScalingCoefficients | None = None
    if config.rule in (None, "compound") and config.coefficients != "published":
        coefficients = origin.fitted or given_coefficients(config)
        rule = compound(coefficients)
    else:
        rule = find_rule(config.rule or "published")
    if config.latency_ms is not None:
        return _timed(config, config.latency_ms, origin, rule, coefficients, listener)
    phis = config.phis if config.phis is not None else [float(k) for k in range(config.members)]
    if config.exact is False:
        return [_rounded(origin, rule, coefficients, phi) for phi in sorted({0.0, *phis})]
    return _solved(config, phis, origin, rule, coefficients)


def _solved(
    config: ScalingConfig,
    phis: Sequence[float],
    origin: Origin,
    rule: Rule,
    coefficients: ScalingCoefficients | None,
) -> list[Member]:
    """The members of counted costs: the budgets, or 2^φ of B0."""
    own = getattr(count(origin.arch, origin.num_classes), config.metric)
    if config.budgets is not None:
        budgets = [parse_quantity("budgets", value) for value in config.budgets]
        wanted = sorted((value, _budget_name(value)) for value in budgets)
        if len({name for _, name in wanted}) < len(wanted):
            raise ScalingError(f"budgets={config.budgets} names a member twice")
    else:
        wanted = [(own * 2.0**phi, f"b{phi:g}") for phi in sorted(phis) if phi != 0]
    for value, name in wanted:
        if value < (1 - config.tolerance) * own and not rule.shrinks:
            shrinking = ", ".join(other for other, known in RULES.items() if known.shrinks)
            raise ScalingError(
                f"{name} of {value:.4g} {config.metric} is below B0's {own:.4g} and rule "
                f"{rule.name} only grows; expected B0's or more, or a rule that shrinks: "
                f"{shrinking}"
            )
    targets = [Target(config.metric, value, config.tolerance) for value, _ in wanted]
    solutions = solve_targets(origin.arch, rule, targets, origin.num_classes, origin.rounding)
    members = [baseline_member(origin.arch, rule, coefficients, origin.num_classes)]
    members += [
        solved_member(name, solution, rule, coefficients, math.log2(value / own), target)
        for (value, name), target, solution in zip(wanted, targets, solutions, strict=True)
    ]
    return sorted(members, key=lambda member: member.phi or 0.0)


def _rounded(
    origin: Origin, rule: Rule, coefficients: ScalingCoefficients | None, phi: float
) -> Member:
    """A member by the rule's own multipliers."""
    if phi < 0 and not rule.shrinks:
        raise ScalingError(f"phis={phi:g} is below B0 and rule {rule.name} only grows")
    if phi == 0:
        return baseline_member(origin.arch, rule, coefficients, origin.num_classes)
    if coefficients is not None:
        return compound_member(origin.arch, coefficients, phi, origin.rounding, origin.num_classes)
    return formula_member(origin.arch, rule, phi, origin.rounding, origin.num_classes)


def _timed(
    config: ScalingConfig,
    milliseconds: Sequence[float],
    origin: Origin,
    rule: Rule,
    coefficients: ScalingCoefficients | None,
    listener: LatencyListener,
) -> list[Member]:
    """The members of measured latencies."""
    device, measure = measure_here(
        origin.num_classes, config.device, config.batch, config.threads, config.runtime
    )
    listener.measuring(device, config.batch, config.threads, config.runtime)
    base = count(origin.arch, origin.num_classes).macs
    wanted = sorted(milliseconds)
    found = solve_latencies(origin.arch, rule, wanted, measure, origin.num_classes, origin.rounding)
    members = [baseline_member(origin.arch, rule, coefficients, origin.num_classes)]
    for each, timed in zip(wanted, found, strict=True):
        listener.measured(each, timed)
        phi = math.log2(timed.solution.cost.macs / base)
        member = solved_member(f"{each:g}ms", timed.solution, rule, coefficients, phi)
        members.append(replace(member, latency=timed.latency, latency_target=each))
    return members


def _budget_name(value: int) -> str:
    """`100M`, `1.5G`: fit for a file name, and read back by `budgets=`."""
    for unit, size in (("G", 10**9), ("M", 10**6), ("k", 10**3)):
        if value >= size:
            return f"{value / size:.6g}{unit}"
    return str(value)
