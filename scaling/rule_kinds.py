"""Scaling rules: how much deeper, wider and larger a network of so many times the cost is.

A rule answers in real numbers; `scaling.compound.scale` makes whole networks of them, and
`scaling.solve` those that cost what was asked.
"""

import math
from dataclasses import dataclass
from typing import Protocol

from scaling.compound import ScalingCoefficients, ScalingError


@dataclass(frozen=True, slots=True)
class Multipliers:
    """Factors of depth, width and resolution.

    `late_depth` is how many times more the last stages grow in depth (EfficientNetV2).
    """

    depth: float
    width: float
    resolution: float
    late_depth: float = 1.0


class Rule(Protocol):
    """`at(cost_ratio)`: the multipliers with depth·width²·resolution² ≈ cost_ratio; 1 → all 1.

    `shrinks` says whether the rule is meant for a cost_ratio below 1 too.

    Raises:
        ScalingError: a cost_ratio that is not a finite number above 0.
    """

    @property
    def name(self) -> str: ...

    @property
    def shrinks(self) -> bool: ...

    def at(self, cost_ratio: float) -> Multipliers: ...


@dataclass(frozen=True, slots=True)
class PowerRule:
    """Depth, width and resolution as powers of the cost ratio: a straight line in logs."""

    name: str
    depth: float
    width: float
    resolution: float
    late_depth: float = 0.0
    shrinks: bool = True

    def at(self, cost_ratio: float) -> Multipliers:
        """The cost ratio to the power of each exponent."""
        log = _log_ratio(cost_ratio)
        return Multipliers(
            math.exp(self.depth * log),
            math.exp(self.width * log),
            math.exp(self.resolution * log),
            math.exp(self.late_depth * log),
        )


@dataclass(frozen=True, slots=True)
class TableRule:
    """A table of (depth, width, resolution) ratios, which begins with (1, 1, 1).

    Between rows the logs are linear in the log of depth·width²·resolution². Before the first row
    and behind the last one they follow the line through both.
    """

    name: str
    rows: tuple[tuple[float, float, float], ...]
    shrinks: bool = False

    def at(self, cost_ratio: float) -> Multipliers:
        """The row of this nominal cost, or what lies between two rows."""
        log = _log_ratio(cost_ratio)
        rows = [tuple(map(math.log, row)) for row in self.rows]
        costs = [depth + 2 * width + 2 * resolution for depth, width, resolution in rows]
        first, last = 0, len(rows) - 1
        if 0 <= log <= costs[-1]:
            last = next(number for number in range(1, len(rows)) if log <= costs[number])
            first = last - 1
        share = (log - costs[first]) / (costs[last] - costs[first])
        depth, width, resolution = (
            math.exp(low + share * (high - low))
            for low, high in zip(rows[first], rows[last], strict=True)
        )
        return Multipliers(depth, width, resolution)


def compound(coefficients: ScalingCoefficients) -> Rule:
    """α^φ, β^φ, γ^φ with (αβ²γ²)^φ = cost ratio (EfficientNet, arXiv 1905.11946, eq. 3).

    Raises:
        ScalingError: the coefficients 1, 1, 1, which grow nothing.
    """
    if coefficients.nominal_cost <= 1:
        raise ScalingError("alpha, beta and gamma are all 1, which grows nothing")
    log = math.log(coefficients.nominal_cost)
    return PowerRule(
        "compound",
        math.log(coefficients.alpha) / log,
        math.log(coefficients.beta) / log,
        math.log(coefficients.gamma) / log,
        shrinks=False,
    )


def fast(alpha: float) -> Rule:
    """e_w = α, e_d = e_r = (1 − α)/2: d = s^e_d, w = s^(e_w/2), r = s^(e_r/2).

    Source: Dollár et al., Fast and Accurate Model Scaling (arXiv 2103.06877); pycls scaler.py.

    Raises:
        ScalingError: an α outside 0…1.
    """
    if not 0 <= alpha <= 1:
        raise ScalingError(f"alpha={alpha} of rule fast is not between 0 and 1")
    rest = (1 - alpha) / 2
    return PowerRule(f"fast:{alpha:g}", rest, alpha / 2, rest / 2)


def free(depth: float, width: float, resolution: float) -> Rule:
    """Any direction: exponents of the cost ratio, of which only the proportions matter.

    They are divided by depth + 2·width + 2·resolution, so that the nominal cost is the ratio.
    So can be said what EfficientNet-X searched (LACS, arXiv 2102.05610).

    Raises:
        ScalingError: exponents that are negative, not finite, or all 0.
    """
    for name, value in (("depth", depth), ("width", width), ("resolution", resolution)):
        if not (math.isfinite(value) and value >= 0):
            raise ScalingError(
                f"{name}={value} of rule free is not an exponent; expected a finite number of 0 "
                "or more"
            )
    total = depth + 2 * width + 2 * resolution
    if total <= 0:
        raise ScalingError("the exponents of rule free are all 0, which scales nothing")
    name = f"free:{depth:g}:{width:g}:{resolution:g}"
    return PowerRule(name, depth / total, width / total, resolution / total)


def _log_ratio(cost_ratio: float) -> float:
    if not (math.isfinite(cost_ratio) and cost_ratio > 0):
        raise ScalingError(f"cost ratio {cost_ratio} is not a finite number above 0")
    return math.log(cost_ratio)
