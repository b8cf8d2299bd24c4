"""What is written of a member: its YAML file, and its line of family.csv."""

from dataclasses import asdict
from typing import Any, Final

from blocks.arch import arch_to_mapping, format_arch, parse_arch
from blocks.cost import Cost
from blocks.machine import versions
from scaling.family.member import Member
from scaling.family.members import Origin

REALISED: Final = ("depth", "width", "resolution", "deviation")
"""Of a solution, what its member's YAML records."""
ALIKE: Final = 0.05
"""Share by which two networks of one target may differ: each is within 2% of it."""


def family_row(content: dict[str, Any]) -> dict[str, Any]:
    """The line of family.csv of a member, from its YAML."""
    target, latency = content.get("target", {}), content.get("latency", {})
    if latency:
        target = {"metric": "latency_ms", "value": latency["target_ms"], **latency}
    return {
        "name": content["name"],
        "phi": content.get("phi"),
        "width": content["width_multiplier"],
        "depth": content["depth_multiplier"],
        "resolution": _pixels(content["arch"]),
        "blocks": sum(stage["repeats"] for stage in content["fields"]["stages"]),
        **content["cost"],
        "macs_ratio": content["ratio_to_b0"]["macs"],
        "extrapolated": content.get("extrapolated"),
        "metric": target.get("metric"),
        "target": target.get("value"),
        "residual": target.get("residual"),
        "deviation": content.get("realised", {}).get("deviation"),
        "median_ms": latency.get("median_ms"),
        "rounding": content["rounding"],
        "arch": content["arch"],
    }


def _pixels(spelling: str) -> int | str:
    """The side; of an image that is not square, height and width."""
    image = parse_arch(spelling).image
    return int(image.height) if image.is_square else str(image)


def member_costs(cost: Cost, base: Cost) -> dict[str, Any]:
    """What a member's YAML says of its cost."""
    return {
        "cost": asdict(cost),
        "ratio_to_b0": {
            "params": round(cost.params / base.params, 4),
            "macs": round(cost.macs / base.macs, 4),
            "flops_fvcore": round(cost.flops_fvcore / base.flops_fvcore, 4),
        },
    }


def is_extrapolated(macs: int, base_macs: int, trained: float) -> bool:
    """Whether a member costs more than any network that the coefficients were fitted to, of which
    the largest has `trained` times B0's macs; a member of the same target is not beyond it."""
    return macs > trained * base_macs * (1 + ALIKE)


def member_content(member: Member, cost: Cost, base: Cost, origin: Origin) -> dict[str, Any]:
    """The YAML of a member whose network costs `cost`, where B0 costs `base`."""
    content: dict[str, Any] = {
        "name": member.name,
        "arch": format_arch(member.arch),
        "num_classes": origin.num_classes,
        "resolution": member.arch.resolution,
        "width_multiplier": round(member.width_multiplier, 12),
        "depth_multiplier": round(member.depth_multiplier, 12),
        "late_depth": round(member.late_depth, 12),
        "repeats": member.repeats,
        "rounding": origin.rounding,
        "rule": member.rule,
    }
    if member.phi is not None:
        content["phi"] = round(member.phi, 6)
    coefficients = member.coefficients
    if coefficients is not None:
        content["coefficients"] = asdict(coefficients)
        content["fitted"] = origin.fitted is not None
        if member.phi is not None and member.solution is None and member.latency is None:
            # What the paper's own rounding was to cost; an exact member is solved for its target.
            content["nominal_macs_ratio"] = round(coefficients.nominal_cost**member.phi, 4)
    elif member.rule == "published":
        content["coefficients"] = "published"
    if member.dropout is not None:
        content["dropout"] = member.dropout
    if member.target is not None:
        target = asdict(member.target)
        reached = getattr(cost, member.target.metric)
        content["target"] = {**target, "residual": round(reached / member.target.value - 1, 6)}
    if member.latency is not None and member.latency_target is not None:
        milliseconds = member.latency_target
        content["latency"] = {
            "target_ms": milliseconds,
            "residual": round(member.latency.median_ms / milliseconds - 1, 6),
            **asdict(member.latency),
        }
    if member.solution is not None:
        content["realised"] = {name: round(getattr(member.solution, name), 6) for name in REALISED}
    content |= member_costs(cost, base)
    if origin.trained is not None:
        content["extrapolated"] = is_extrapolated(cost.macs, base.macs, origin.trained)
    content["baseline"] = format_arch(origin.arch)
    if origin.dataset is not None:
        content["dataset"] = origin.dataset
    content["versions"] = versions()
    content["fields"] = arch_to_mapping(member.arch)
    return content
