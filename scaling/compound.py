"""Compound scaling: pure functions from architecture to architecture."""

import math
from dataclasses import dataclass, replace

from blocks.arch import ArchSpec
from blocks.errors import CompoundNasError
from blocks.rounding import ROUNDINGS, round_repeats


class ScalingError(CompoundNasError):
    """Coefficients or settings that scale nothing sensible."""


@dataclass(frozen=True, slots=True)
class ScalingCoefficients:
    """Growth of depth (α), width (β) and resolution (γ) per unit of φ.

    Raises:
        ScalingError: a coefficient below 1 or not finite (EfficientNet, eq. 3).
    """

    alpha: float
    beta: float
    gamma: float

    def __post_init__(self) -> None:
        for name in ("alpha", "beta", "gamma"):
            value = getattr(self, name)
            if not (isinstance(value, int | float) and math.isfinite(value) and value >= 1):
                raise ScalingError(f"{name}={value} is not a finite number of 1 or more")

    @property
    def nominal_cost(self) -> float:
        """α·β²·γ²: what one unit of φ would multiply macs by, if nothing were rounded."""
        return self.alpha * self.beta**2 * self.gamma**2


PAPER = ScalingCoefficients(1.2, 1.1, 1.15)
"""EfficientNet §3.3."""


def scale(
    arch: ArchSpec, width: float, depth: float, resolution: int, rounding: str = "paper"
) -> ArchSpec:
    """`arch` with channels × width, repeats × depth, at `resolution` pixels.

    Channels, stem and head included, become whole by the policy `rounding`
    (`blocks.rounding.ROUNDINGS`; the paper's is multiples of 8 by the 90% rule); repeats go up.

    Source: tensorflow/tpu efficientnet_model.py, `round_filters` and `round_repeats`.
    """
    round_channels = ROUNDINGS[rounding]
    stages = tuple(
        replace(
            stage,
            channels=round_channels(stage.channels * width),
            repeats=round_repeats(stage.repeats * depth),
        )
        for stage in arch.stages
    )
    return replace(
        arch,
        stem=round_channels(arch.stem * width),
        # 0 is no such layer, at any width.
        head=round_channels(arch.head * width) if arch.head else 0,
        head_hidden=round_channels(arch.head_hidden * width) if arch.head_hidden else 0,
        stages=stages,
        resolution=resolution,
    )


def scale_compound(
    arch: ArchSpec, coefficients: ScalingCoefficients, phi: float, rounding: str = "paper"
) -> ArchSpec:
    """`arch` scaled by α^φ, β^φ and γ^φ (EfficientNet, eq. 3); φ = 0 is `arch` itself."""
    if phi == 0:
        return arch
    if (coefficients.alpha * coefficients.beta * coefficients.gamma) ** phi > 1e6:
        raise ScalingError(f"{coefficients} at φ={phi:g} grow beyond any network")
    return scale(
        arch,
        coefficients.beta**phi,
        coefficients.alpha**phi,
        round(arch.resolution * coefficients.gamma**phi),
        rounding,
    )
