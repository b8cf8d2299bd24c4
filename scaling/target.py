"""What a network is to cost, and a network that does."""

import math
from dataclasses import dataclass
from typing import Final

from blocks.arch import ArchSpec
from blocks.cost import Cost
from scaling.compound import ScalingError
from scaling.rule_kinds import Multipliers

METRICS: Final = ("macs", "params", "activations")
MOST: Final = 10**12
"""Of a target: twice EfficientNet-L2's macs. What is larger could not be built and checked."""


@dataclass(frozen=True, slots=True)
class Target:
    """What a network is to cost: `value` of `metric`, within ±`tolerance` of it.

    Raises:
        ScalingError: an unknown metric, or a value or tolerance that cannot be.
    """

    metric: str
    value: float
    tolerance: float = 0.02

    def __post_init__(self) -> None:
        if self.metric not in METRICS:
            raise ScalingError(f"metric={self.metric} is unknown; expected {', '.join(METRICS)}")
        if not (math.isfinite(self.value) and self.value >= 1):
            raise ScalingError(
                f"a target of {self.value:g} {self.metric} is none; expected 1 or more"
            )
        if self.value > MOST:
            raise ScalingError(
                f"a target of {self.value:.3g} {self.metric} is too large; expected at most "
                f"{MOST:.0e}: fewer or smaller members"
            )
        if not 0 <= self.tolerance < 1:
            raise ScalingError(f"tolerance={self.tolerance} is not from 0 to below 1")


@dataclass(frozen=True, slots=True)
class Solution:
    """A network near a rule that costs about what was asked.

    `depth`, `width` and `resolution` are what it has relative to its baseline: blocks, the
    geometric mean of the channels (each block's once, stem and head), pixels. `residual` is
    cost/target − 1, `deviation` the distance of ln depth, ln width and ln resolution from the
    rule's line. `scale(baseline, width_multiplier, depth_multiplier, arch.resolution, rounding,
    late_depth=late_depth, repeats="nearest")` is `arch`, unless it is the baseline itself.

    `less`: it has less depth, width or resolution than its baseline where the rule does not say so,
    as nothing else costs the target; `instead` is then the nearest in cost that has not.
    """

    arch: ArchSpec
    cost: Cost
    depth: float
    width: float
    resolution: float
    residual: float
    deviation: float
    depth_multiplier: float = 1.0
    width_multiplier: float = 1.0
    late_depth: float = 1.0
    less: bool = False
    instead: "Solution | None" = None


def growth(baseline: ArchSpec, arch: ArchSpec) -> Multipliers:
    """What `arch` has over `baseline`: blocks, the geometric mean of the channels (each block's
    once, stem and head), pixels."""
    parts = [(baseline.stem, arch.stem, 1)]
    parts += [(baseline.head, arch.head, 1)] if baseline.head else []
    parts += [
        (old.channels, new.channels, old.repeats)
        for old, new in zip(baseline.stages, arch.stages, strict=True)
    ]
    logs = sum(weight * math.log(new / old) for old, new, weight in parts)
    few, many = (sum(stage.repeats for stage in each.stages) for each in (baseline, arch))
    return Multipliers(
        depth=many / few,
        width=math.exp(logs / sum(weight for *_, weight in parts)),
        resolution=arch.resolution / baseline.resolution,
    )
