"""A member's YAML against the network that it describes, and against its rule."""

import math
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from blocks.arch import ArchSpec, arch_from_mapping, format_arch, parse_arch
from blocks.cost import Cost, count, referee
from blocks.errors import CostMismatchError
from blocks.machine import versions
from blocks.network import Network
from blocks.zoo import EFFICIENTNET_SCALING
from scaling.compound import ScalingCoefficients, scale
from scaling.family.record import REALISED, member_costs
from scaling.rule_kinds import Multipliers, compound
from scaling.rules import find_rule
from scaling.solve import solve
from scaling.target import Target


def check_member(content: dict[str, Any]) -> Iterator[str]:
    """What of a member's YAML does not agree with the rest of it, or with the network."""
    arch, baseline = parse_arch(content["arch"]), parse_arch(content["baseline"])
    if arch_from_mapping(content["fields"]) != arch:
        yield f"fields make {arch_from_mapping(content['fields'])}, not arch {arch}"
    if content["resolution"] != arch.resolution:
        yield f"resolution is {content['resolution']}, that of arch {arch.resolution}"
    rebuilt = _rebuild(content, baseline, arch.resolution)
    if rebuilt != arch:
        yield f"its multipliers make {rebuilt} of the baseline, not arch {arch}"
    num_classes = content["num_classes"]
    try:
        cost = referee(Network(arch, num_classes))
    except CostMismatchError as error:
        yield f"arithmetic and fvcore disagree: {error}"
        cost = count(arch, num_classes)
    counted = member_costs(cost, count(baseline, num_classes))
    yield from _compare(content, counted)
    if "target" in content:
        target = content["target"]
        residual = round(asdict(cost)[target["metric"]] / target["value"] - 1, 6)
        if residual != target["residual"]:
            yield f"target.residual is {target['residual']}, counted {residual}"
    if "latency" in content:
        latency = content["latency"]
        residual = round(latency["median_ms"] / latency["target_ms"] - 1, 6)
        if residual != latency["residual"]:
            yield f"latency.residual is {latency['residual']}, by its median {residual}"
    yield from _origin(content, baseline, cost)
    installed = versions()
    yield from _compare({"versions": content["versions"]}, {"versions": installed})


def _origin(content: dict[str, Any], baseline: ArchSpec, cost: Cost) -> Iterator[str]:
    """What of a member is not what its rule makes of the baseline for its φ or target."""
    num_classes, triple = content["num_classes"], content.get("coefficients")
    if content.get("fitted") and not isinstance(triple, dict):
        yield f"coefficients are {triple}, though fitted"
        return
    coefficients = ScalingCoefficients(**triple) if isinstance(triple, dict) else None
    rule = compound(coefficients) if coefficients is not None else find_rule(content["rule"])
    if rule.name != content["rule"]:
        yield f"rule is {content['rule']}, its coefficients are of rule {rule.name}"
    if "target" in content:
        target = Target(*(content["target"][name] for name in ("metric", "value", "tolerance")))
        solved = solve(baseline, rule, target, num_classes, content["rounding"])
        if format_arch(solved.arch) != content["arch"]:
            # Versions before 0.2 took the nearest to the rule, whatever it had less than B0.
            before = solve(baseline, rule, target, num_classes, content["rounding"], keep=False)
            solved = before if format_arch(before.arch) == content["arch"] else solved
        if format_arch(solved.arch) != content["arch"]:
            yield f"its rule makes {solved.arch} for its target, not arch {content['arch']}"
        now: dict[str, Any] = {
            "realised": {name: round(getattr(solved, name), 6) for name in REALISED},
        }
        yield from _compare({"realised": content["realised"]}, now)
        own = asdict(count(baseline, num_classes))[target.metric]
        yield from _differ("phi", content["phi"], round(math.log2(target.value / own), 6))
    elif "latency" in content:
        ratio = cost.macs / count(baseline, num_classes).macs
        yield from _differ("phi", content["phi"], round(math.log2(ratio), 6))
    elif "phi" in content:
        phi = float(content["phi"])
        if coefficients is not None:
            at = Multipliers(coefficients.alpha**phi, coefficients.beta**phi, 1.0)
            nominal = round(coefficients.nominal_cost**phi, 4)
            yield from _differ("nominal_macs_ratio", content["nominal_macs_ratio"], nominal)
        else:
            at = rule.at(2.0**phi)
        for name, value in (("depth", at.depth), ("width", at.width)):
            recorded = content[f"{name}_multiplier"]
            yield from _differ(f"{name}_multiplier", recorded, round(value, 12))
    else:
        row = EFFICIENTNET_SCALING[f"efficientnet_{content['name']}"]
        for name, value in (
            ("depth_multiplier", row.depth), ("width_multiplier", row.width),
            ("dropout", row.dropout),
        ):  # fmt: skip
            yield from _differ(name, content[name], value)


def _differ(what: str, recorded: Any, now: Any) -> Iterator[str]:
    if recorded != now:
        yield f"{what} is {recorded}, now {now}"


def _rebuild(content: dict[str, Any], baseline: ArchSpec, resolution: int) -> ArchSpec:
    """The member by its recorded multipliers; the baseline itself is not rounded."""
    factors = [content[name] for name in ("width_multiplier", "depth_multiplier", "late_depth")]
    if factors == [1, 1, 1] and resolution == baseline.resolution:
        return baseline
    width, depth, late_depth = (float(factor) for factor in factors)
    return scale(
        baseline,
        depth,
        width,
        resolution,
        content["rounding"],
        late_depth=late_depth,
        repeats=content["repeats"],
    )


def _compare(recorded: dict[str, Any], now: dict[str, Any]) -> Iterator[str]:
    """`group.key is …, now …` of all that differs in mappings of mappings."""
    for group, values in now.items():
        for key in sorted({*values, *recorded[group]}):
            old, new = recorded[group].get(key), values.get(key)
            if old != new:
                yield f"{group}.{key} is {old}, now {new}"
