"""Compound scaling: pure functions from architecture to architecture."""

import math
import operator
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from blocks.arch import ArchSpec
from blocks.errors import CompoundNasError
from blocks.rounding import ROUNDINGS, round_repeats


class ScalingError(CompoundNasError):
    """Coefficients or settings that scale nothing sensible."""


@dataclass(frozen=True, slots=True)
class ScalingCoefficients:
    """Growth of depth (α), width (β) and resolution (γ) per unit of φ.

    Raises:
        ScalingError: a coefficient below 1 (EfficientNet, eq. 3), or over 1000.
    """

    alpha: float
    beta: float
    gamma: float

    def __post_init__(self) -> None:
        for name in ("alpha", "beta", "gamma"):
            value = getattr(self, name)
            number = isinstance(value, int | float) and not isinstance(value, bool)
            if not (number and math.isfinite(value) and value >= 1):
                raise ScalingError(f"{name}={value} is not a finite number of 1 or more")
            if value > 1000:
                raise ScalingError(f"{name}={value:g} is too large; expected 1000 or less")

    @property
    def nominal_cost(self) -> float:
        """α·β²·γ²: what one unit of φ would multiply macs by, if nothing were rounded."""
        return self.alpha * self.beta**2 * self.gamma**2


PAPER = ScalingCoefficients(1.2, 1.1, 1.15)
"""EfficientNet §3.3."""


LATE_SHARE: Final = 1 / 3
"""The share of the stages that `late_depth` deepens: two of EfficientNetV2's six (its §3.3)."""


REPEATS: Final = ("up", "nearest")
"""Policies of `scale_repeats`."""


def late_stages(stages: int) -> int:
    """How many of the last stages `late_depth` is for: one at least."""
    return max(1, round(stages * LATE_SHARE))


def scale_repeats(
    repeats: Sequence[int], depth: float, late_depth: float = 1.0, policy: str = "up"
) -> tuple[int, ...]:
    """The repeats of every stage × depth, those of the last third × late_depth as well.

    `up` is the paper's rounding: of B0's 16 blocks, depth 1.01 makes 23. `nearest` rounds to the
    nearest (as TinyNet and pycls do), and of stages that are halfway together the last goes up
    first, each 0.005 of a block before the one in front of it: blocks come one by one, at the
    end of the network first.
    """
    whole = []
    for number, count in enumerate(repeats):
        asked = count * depth * _late_factor(len(repeats), number, late_depth)
        if policy == "up":
            whole.append(round_repeats(asked))
        else:
            threshold = _threshold(len(repeats), number)
            whole.append(max(1, math.floor(asked + 1 - threshold + 1e-9)))
    return tuple(whole)


def depth_steps(repeats: Sequence[int], late_depth: float, low: float, high: float) -> list[float]:
    """The depths from `low` to `high` at which `scale_repeats` to the nearest adds a block."""
    steps = []
    for number, count in enumerate(repeats):
        slope = count * _late_factor(len(repeats), number, late_depth)
        threshold = _threshold(len(repeats), number)
        # Every stage keeps one block: the first step is that to two.
        least = max(1, math.ceil(low * slope - threshold))
        most = math.floor(high * slope - threshold)
        steps += [(whole + threshold) / slope for whole in range(least, most + 1)]
    return sorted(steps)


def _late_factor(stages: int, number: int, late_depth: float) -> float:
    return late_depth if number >= stages - late_stages(stages) else 1.0


def _threshold(stages: int, number: int) -> float:
    """The fraction of a block that stage `number` rounds up from."""
    return 0.5 + min(0.005 * (stages - 1 - number), 0.45)


def scale(
    arch: ArchSpec,
    depth: float = 1.0,
    width: float = 1.0,
    resolution: int | None = None,
    rounding: str = "paper",
    *,
    late_depth: float = 1.0,
    repeats: str = "up",
) -> ArchSpec:
    """`arch` with repeats × depth, channels × width, at `resolution` pixels of height, as wide in
    proportion (None: its own).

    Channels, stem and head included, become whole by the policy `rounding`
    (`blocks.rounding.ROUNDINGS`; the paper's is multiples of 8 by the 90% rule); repeats by the
    policy `repeats` (`scale_repeats`; the paper's goes up).

        scale(EFFICIENTNET_B0, depth=1.1, width=1.0, resolution=240)

    Raises:
        ScalingError: a factor that is not a finite number above 0, a resolution that is no whole
            number of pixels, or an unknown rounding.
        ArchError: the network is impossible, as at a resolution too small for its strides.

    Source: tensorflow/tpu efficientnet_model.py, `round_filters` and `round_repeats`.
    """
    for name, factor in (("depth", depth), ("width", width)):
        if not (math.isfinite(factor) and factor > 0):
            raise ScalingError(f"{name}={factor} is not a finite number above 0")
    try:
        pixels = arch.resolution if resolution is None else operator.index(resolution)
    except TypeError:
        raise ScalingError(
            f"resolution={resolution} is not a number of pixels; expected a whole number, for "
            f"example {arch.resolution}"
        ) from None
    if rounding not in ROUNDINGS:
        raise ScalingError(f"rounding={rounding} is unknown; expected {', '.join(ROUNDINGS)}")
    round_channels = ROUNDINGS[rounding]
    deeper = scale_repeats([stage.repeats for stage in arch.stages], depth, late_depth, repeats)
    stages = tuple(
        replace(stage, channels=round_channels(stage.channels * width), repeats=count)
        for stage, count in zip(arch.stages, deeper, strict=True)
    )
    return replace(
        arch.resized(pixels),
        stem=round_channels(arch.stem * width),
        # 0 is no such layer, at any width.
        head=round_channels(arch.head * width) if arch.head else 0,
        head_hidden=round_channels(arch.head_hidden * width) if arch.head_hidden else 0,
        stages=stages,
    )


def scale_compound(
    arch: ArchSpec, coefficients: ScalingCoefficients, phi: float, rounding: str = "paper"
) -> ArchSpec:
    """`arch` scaled by α^φ, β^φ and γ^φ (EfficientNet, eq. 3); φ = 0 is `arch` itself."""
    if phi == 0:
        return arch
    logs = map(math.log, (coefficients.alpha, coefficients.beta, coefficients.gamma))
    if phi * sum(logs) > math.log(1e6):
        raise ScalingError(f"{coefficients} at φ={phi:g} grow beyond any network")
    return scale(
        arch,
        coefficients.alpha**phi,
        coefficients.beta**phi,
        round(arch.resolution * coefficients.gamma**phi),
        rounding,
    )
