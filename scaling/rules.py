"""Scaling rules by name: how much deeper, wider and larger a network of so many times the cost is.

A rule answers in real numbers; `scaling.compound.scale` makes whole networks of them, and
`scaling.solve` those that cost what was asked.
"""

import math
import statistics
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from blocks.zoo import EFFICIENTNET_B0, EFFICIENTNET_SCALING
from scaling.compound import PAPER, ScalingCoefficients, ScalingError
from search.errors import did_you_mean


@dataclass(frozen=True, slots=True)
class Multipliers:
    """Unrounded factors of depth, width and resolution.

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
                f"{name}={value} of rule free is no exponent; expected a finite number of 0 or more"
            )
    total = depth + 2 * width + 2 * resolution
    if total <= 0:
        raise ScalingError("the exponents of rule free are all 0, which scales nothing")
    name = f"free:{depth:g}:{width:g}:{resolution:g}"
    return PowerRule(name, depth / total, width / total, resolution / total)


# TinyNet-A to E (arXiv 2010.14819; timm's `_gen_tinynet`): width, depth, side.
TINYNET: Final = (
    (1.0, 1.2, 192),
    (0.75, 1.1, 188),
    (0.54, 0.85, 184),
    (0.54, 0.695, 152),
    (0.51, 0.6, 106),
)

# LACS on a GPU, EfficientNet-X-B7 (arXiv 2102.05610; tensorflow/tpu efficientnet_x_builder.py).
_LACS_GPU: Final = {"width": 2.58, "depth": 5.46, "resolution": 350}

# EfficientNetV2-S and L (arXiv 2104.00298, Table 4; google/automl effnetv2_configs.py): repeats,
# channels of the six stages both have, side. L's seventh stage counts with its sixth.
_V2_S: Final = ((2, 4, 4, 6, 9, 15), (24, 48, 64, 128, 160, 256), 384)
_V2_L: Final = ((4, 7, 7, 10, 19, 25 + 7), (32, 64, 96, 192, 224, 384), 480)


def _tinynet() -> Rule:
    """A fit of its own for φ < 0: TinyNet's published members, by least squares.

    ln d and ln r are fitted on the log of c = d·w²·r² (of B0 at 224) by lines through the origin,
    that c = 1 may be the baseline; then w = √(c/(d·r²)), as the paper has it. The paper fits
    Gaussian processes to networks of its own, which it has not published; the lines say what its
    five members say. Above c = 1 they are an extrapolation.
    """
    logs = []
    for width, depth, side in TINYNET:
        deeper, larger = math.log(depth), math.log(side / EFFICIENTNET_B0.resolution)
        logs.append((deeper + 2 * math.log(width) + 2 * larger, deeper, larger))
    square = sum(cost * cost for cost, _, _ in logs)
    depth_exponent = sum(cost * deeper for cost, deeper, _ in logs) / square
    side_exponent = sum(cost * larger for cost, _, larger in logs) / square
    width_exponent = (1 - depth_exponent - 2 * side_exponent) / 2
    return PowerRule("tinynet", depth_exponent, width_exponent, side_exponent)


def _efficientnetv2() -> Rule:
    """From EfficientNetV2-S to L: compound, with more depth in the last stages.

    The published step as a straight line in logs, its exponents divided so that
    depth·width²·resolution² is the cost ratio, of which `late_depth` is not a part. The paper's
    limit of 480 pixels is left out: it is an absolute size, and a rule speaks of ratios.
    """
    (few, narrow, small), (many, wide, large) = _V2_S, _V2_L
    early = math.log(sum(many[:4]) / sum(few[:4]))
    late = math.log(sum(many[4:]) / sum(few[4:]))
    width = statistics.fmean(math.log(b / a) for a, b in zip(narrow, wide, strict=True))
    resolution = math.log(large / small)
    total = early + 2 * width + 2 * resolution
    exponents = (early / total, width / total, resolution / total, (late - early) / total)
    return PowerRule("efficientnetv2", *exponents, shrinks=False)


def _named(name: str, rule: Rule) -> Rule:
    assert isinstance(rule, PowerRule)
    return PowerRule(name, rule.depth, rule.width, rule.resolution, rule.late_depth, rule.shrinks)


RULES: Final[dict[str, Rule]] = {
    "compound": compound(PAPER),
    "published": TableRule(
        "published",
        tuple(
            (row.depth, row.width, row.resolution / EFFICIENTNET_B0.resolution)
            for row in EFFICIENTNET_SCALING.values()
        ),
    ),
    "dwr": _named("dwr", fast(0.8)),
    "uniform": _named("uniform", fast(1 / 3)),
    "width": PowerRule("width", 0, 1 / 2, 0),
    "depth": PowerRule("depth", 1, 0, 0),
    "resolution": PowerRule("resolution", 0, 0, 1 / 2),
    "tinynet": _tinynet(),
    "efficientnetv2": _efficientnetv2(),
    "lacs": _named(
        "lacs",
        free(
            math.log(_LACS_GPU["depth"]),
            math.log(_LACS_GPU["width"]),
            math.log(_LACS_GPU["resolution"] / EFFICIENTNET_B0.resolution),
        ),
    ),
}
"""Rule name → rule. `compound` has the paper's triple; `dwr` is fast scaling with α = 0.8 and
`uniform` with α = 1/3; `lacs` goes the way of EfficientNet-X-B7 (GPU)."""


RIVALS: Final = {
    "paper": "compound",
    "uniform": "uniform",
    "dwr": "dwr",
    "depth": "depth",
    "width": "width",
    "resolution": "resolution",
}
"""What fitted coefficients are compared with → its rule."""


def find_rule(text: str) -> Rule:
    """A name of `RULES`, `fast:ALPHA`, or `free:DEPTH:WIDTH:RESOLUTION`.

    Raises:
        ScalingError: none of these; names the nearest.
    """
    if text in RULES:
        return RULES[text]
    name, *given = text.split(":")
    try:
        values = [float(value) for value in given]
    except ValueError:
        values = []
    if name == "fast" and len(values) == 1:
        return fast(values[0])
    if name == "free" and len(values) == 3:
        return free(*values)
    raise ScalingError(
        f"rule={text} is unknown; expected {', '.join(RULES)}, fast:ALPHA or "
        f"free:DEPTH:WIDTH:RESOLUTION{did_you_mean(name, [*RULES, 'fast', 'free'])}"
    )


def direction(rule: str) -> NDArray[np.float64]:
    """(3,): logs of the depth, width and resolution of a named rule at twice the cost."""
    at = find_rule(rule).at(2.0)
    return np.log([at.depth, at.width, at.resolution])


def _log_ratio(cost_ratio: float) -> float:
    if not (math.isfinite(cost_ratio) and cost_ratio > 0):
        raise ScalingError(f"cost ratio {cost_ratio} is not a finite number above 0")
    return math.log(cost_ratio)
