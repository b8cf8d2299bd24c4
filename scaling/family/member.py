"""One network of a family, and how each kind of rule makes it."""

from dataclasses import dataclass

from blocks.arch import ArchSpec
from blocks.cost import Cost, count
from blocks.errors import ArchError
from blocks.latency.values import Latency
from blocks.zoo import EFFICIENTNET_B0, EFFICIENTNET_SCALING
from scaling.compound import ScalingCoefficients, ScalingError, scale, scale_compound
from scaling.rule_kinds import Multipliers, Rule
from scaling.target import Solution, Target, growth


@dataclass(frozen=True, kw_only=True)
class Member:
    """A network, what it costs, and what made it.

    `phi`: its cost is about 2^φ of B0's; None: a row of the published table, which follows no φ.
    `realised` is what it has over B0: blocks, mean channels, pixels. The network is
    `scale(b0, depth_multiplier, width_multiplier, arch.resolution, rounding,
    late_depth=late_depth, repeats=repeats)`. `target` is what its cost was solved for, and
    `latency_target` (milliseconds) what its `latency` was.
    """

    name: str
    arch: ArchSpec
    cost: Cost
    phi: float | None
    realised: Multipliers
    depth_multiplier: float = 1.0
    width_multiplier: float = 1.0
    late_depth: float = 1.0
    repeats: str = "up"
    dropout: float | None = None
    rule: str = "compound"
    coefficients: ScalingCoefficients | None = None
    target: Target | None = None
    solution: Solution | None = None
    latency: Latency | None = None
    latency_target: float | None = None

    @property
    def residual(self) -> float | None:
        """What was met over what was asked, less 1; None where nothing was asked."""
        if self.target is not None:
            return float(getattr(self.cost, self.target.metric)) / self.target.value - 1
        if self.latency is not None and self.latency_target is not None:
            return self.latency.median_ms / self.latency_target - 1
        return None


def published_family(
    baseline: ArchSpec, rounding: str = "paper", num_classes: int = 1000
) -> list[Member]:
    """B0–B7 by the published table; its resolutions are taken relative to 224 pixels."""
    members = []
    for name, row in EFFICIENTNET_SCALING.items():
        side = round(baseline.resolution * row.resolution / EFFICIENTNET_B0.resolution)
        arch = scale(baseline, row.depth, row.width, side, rounding)
        members.append(
            Member(
                name=name.removeprefix("efficientnet_"),
                arch=arch,
                cost=count(arch, num_classes),
                phi=None,
                realised=growth(baseline, arch),
                depth_multiplier=row.depth,
                width_multiplier=row.width,
                dropout=row.dropout,
                rule="published",
            )
        )
    return members


def compound_family(
    baseline: ArchSpec,
    coefficients: ScalingCoefficients,
    members: int,
    rounding: str = "paper",
    num_classes: int = 1000,
) -> list[Member]:
    """b0, b1, …: φ = 0, 1, …"""
    return [
        compound_member(baseline, coefficients, float(phi), rounding, num_classes)
        for phi in range(members)
    ]


def compound_member(
    baseline: ArchSpec,
    coefficients: ScalingCoefficients,
    phi: float,
    rounding: str = "paper",
    num_classes: int = 1000,
) -> Member:
    """α^φ, β^φ, γ^φ as the paper rounds them, whatever that costs."""
    arch = scale_compound(baseline, coefficients, phi, rounding)
    return Member(
        name=f"b{phi:g}",
        arch=arch,
        cost=count(arch, num_classes),
        phi=phi,
        realised=growth(baseline, arch),
        depth_multiplier=coefficients.alpha**phi,
        width_multiplier=coefficients.beta**phi,
        coefficients=coefficients,
    )


def formula_member(
    baseline: ArchSpec, rule: Rule, phi: float, rounding: str, num_classes: int
) -> Member:
    """The rule's own multipliers, rounded as the paper rounds, whatever that costs.

    Raises:
        ScalingError: they make no network.
    """
    at = rule.at(2.0**phi)
    side = round(baseline.resolution * at.resolution)
    try:
        arch = scale(baseline, at.depth, at.width, side, rounding, late_depth=at.late_depth)
    except ArchError as error:
        raise ScalingError(f"rule {rule.name} at phis={phi:g}: {error}") from None
    return Member(
        name=f"b{phi:g}",
        arch=arch,
        cost=count(arch, num_classes),
        phi=phi,
        realised=growth(baseline, arch),
        depth_multiplier=at.depth,
        width_multiplier=at.width,
        late_depth=at.late_depth,
        rule=rule.name,
    )


def baseline_member(
    baseline: ArchSpec, rule: Rule, coefficients: ScalingCoefficients | None, num_classes: int
) -> Member:
    """b0: the network itself, not rounded."""
    return Member(
        name="b0",
        arch=baseline,
        cost=count(baseline, num_classes),
        phi=0.0,
        realised=Multipliers(1.0, 1.0, 1.0),
        rule=rule.name,
        coefficients=coefficients,
    )


def solved_member(
    name: str,
    solution: Solution,
    rule: Rule,
    coefficients: ScalingCoefficients | None,
    phi: float,
    target: Target | None = None,
) -> Member:
    """A network that was solved for a cost."""
    return Member(
        name=name,
        arch=solution.arch,
        cost=solution.cost,
        phi=phi,
        realised=Multipliers(solution.depth, solution.width, solution.resolution),
        depth_multiplier=solution.depth_multiplier,
        width_multiplier=solution.width_multiplier,
        late_depth=solution.late_depth,
        repeats="nearest",
        rule=rule.name,
        coefficients=coefficients,
        target=target,
        solution=solution,
    )
