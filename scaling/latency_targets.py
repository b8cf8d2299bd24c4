"""Networks of a measured latency: their macs are moved until the clock agrees."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, Protocol

from blocks.arch import ArchSpec
from blocks.cost import count
from blocks.errors import LatencyError
from blocks.latency.measure import measure_latency
from blocks.latency.values import Latency
from blocks.network import Network
from scaling.compound import ScalingError
from scaling.rule_kinds import Rule
from scaling.rules import RULES
from scaling.solve import solve
from scaling.target import MOST, Solution, Target

TOLERANCE: Final = 0.1
"""Of a measured median: what a machine with other work to do still repeats."""
MAX_MEASUREMENTS: Final = 12
_TRY_SECONDS: Final = 5.0

Measure = Callable[[ArchSpec], Latency]


@dataclass(frozen=True)
class Timed:
    """A network near a rule, and what it was measured to take."""

    solution: Solution
    latency: Latency


class LatencyListener(Protocol):
    """Hears of measurements while they are made."""

    def measuring(self, device: str, batch: int, threads: int, runtime: str) -> None:
        """They begin, on this device."""

    def measured(self, wanted_ms: float, timed: Timed) -> None:
        """A network of a wanted latency is found."""


class Quiet:
    """The listener that says nothing."""

    def measuring(self, device: str, batch: int, threads: int, runtime: str) -> None:
        """Nothing is said."""

    def measured(self, wanted_ms: float, timed: Timed) -> None:
        """Nothing is said."""


QUIET: Final = Quiet()


def measure_here(
    num_classes: int, device: str, batch: int, threads: int, runtime: str
) -> tuple[str, Measure]:
    """The device that `here` is, and what measures a network on it (at most 5 s of runs).

    Raises:
        LatencyError: the machine has no such device, runtime or number of threads.
    """
    import torch

    from blocks.latency.measure import check_settings

    if device == "here":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    check_settings(runtime, threads, batch, device)

    def measure(arch: ArchSpec) -> Latency:
        network = Network(arch, num_classes)
        try:
            return measure_latency(
                network, batch, threads, runtime, device=device, seconds=_TRY_SECONDS
            )
        except RuntimeError as error:  # out of memory, among others
            raise LatencyError(f"{arch} cannot be measured: {str(error)[:200]}") from None

    return device, measure


def solve_latencies(
    baseline: ArchSpec,
    rule: Rule,
    milliseconds: list[float],
    measure: Measure,
    num_classes: int,
    rounding: str = "paper",
) -> Iterator[Timed]:
    """For every latency the network near `rule` whose measured median is within 10% of it.

    ln macs are moved along the line between the nearest measurements in ln milliseconds; what
    was measured for one latency serves the next.

    Raises:
        ScalingError: a latency below the baseline's by a rule that only grows, or one that
            `MAX_MEASUREMENTS` networks did not come near.
    """
    first = Timed(
        Solution(baseline, count(baseline, num_classes), 1.0, 1.0, 1.0, 0.0, 0.0),
        measure(baseline),
    )
    known = {baseline: first}
    for wanted in milliseconds:
        least = first.latency.median_ms
        if not rule.shrinks and wanted < (1 - TOLERANCE) * least:
            shrinking = ", ".join(name for name, other in RULES.items() if other.shrinks)
            raise ScalingError(
                f"latency_ms={wanted:g} is below B0's measured {least:.3g} and rule {rule.name} "
                f"only grows; expected B0's or more, or a rule that shrinks: {shrinking}"
            )
        for _ in range(MAX_MEASUREMENTS):
            nearest = min(known.values(), key=lambda timed: abs(_miss(timed, wanted)))
            if abs(_miss(nearest, wanted)) <= math.log(1 + TOLERANCE / 1.2):
                break
            macs = _next_macs(list(known.values()), wanted)
            if macs > MOST:
                raise ScalingError(f"latency_ms={wanted:g} would take more than {MOST:.0e} macs")
            try:
                solution = solve(baseline, rule, Target("macs", macs), num_classes, rounding)
            except ScalingError as error:
                raise ScalingError(f"latency_ms={wanted:g} is not met: {error}") from None
            # The same network again: its other measurement counts, as the machine may have changed.
            known[solution.arch] = Timed(solution, measure(solution.arch))
        nearest = min(known.values(), key=lambda timed: abs(_miss(timed, wanted)))
        if abs(nearest.latency.median_ms / wanted - 1) > TOLERANCE:
            raise ScalingError(
                f"latency_ms={wanted:g} is not met in {MAX_MEASUREMENTS} measurements; the nearest "
                f"network took {nearest.latency.median_ms:.3g} ms"
            )
        yield nearest


def _miss(timed: Timed, wanted: float) -> float:
    return math.log(timed.latency.median_ms / wanted)


def _next_macs(known: list[Timed], wanted: float) -> float:
    """Macs that should take `wanted` ms: on the line through the measurements around it."""
    points = sorted(
        (math.log(timed.latency.median_ms), math.log(timed.solution.cost.macs)) for timed in known
    )
    goal = math.log(wanted)
    if len(points) == 1:
        # Small networks wait for more than arithmetic: latency grows slower than macs.
        return math.exp(points[0][1] + (goal - points[0][0]) / 0.8)
    below = [point for point in points if point[0] <= goal] or points[:1]
    above = [point for point in points if point[0] > goal] or points[-1:]
    low, high = below[-1], above[0]
    if low[0] > goal:
        high = points[1]
    elif high[0] < goal:
        low = points[-2]
    time = high[0] - low[0]
    slope = (high[1] - low[1]) / time if time > 1e-3 else 1.0
    slope = min(3.0, max(0.3, slope))  # two measurements near each other say little of a slope
    start = low if abs(low[0] - goal) < abs(high[0] - goal) else high
    return math.exp(start[1] + slope * (goal - start[0]))
