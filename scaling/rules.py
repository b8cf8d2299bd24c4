"""Scaling rules by name, those of papers among them."""

import math
import statistics
from typing import Final

import numpy as np
from numpy.typing import NDArray

from blocks.names import did_you_mean
from blocks.zoo import EFFICIENTNET_B0, EFFICIENTNET_SCALING
from scaling.compound import PAPER, ScalingError
from scaling.rule_kinds import PowerRule, Rule, TableRule, compound, fast, free

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
