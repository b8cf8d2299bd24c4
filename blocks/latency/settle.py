"""When a median is settled: its confidence interval, and runs until that is narrow."""

import functools
import math
import time
from collections.abc import Callable, Sequence
from typing import Final

from blocks.latency.values import Latency

TOLERANCE: Final = 0.03
"""A median is settled once its 95% interval lies within ± this fraction of it."""
MIN_REPEATS: Final = 15
FEWEST_REPEATS: Final = 6
"""With fewer samples no two of them enclose the median with 95%: 1 − 2/2⁶ = 96.9%."""

_WARM_UP_CALLS: Final = 3
_WARM_UP_SECONDS: Final = 0.2


def median_interval(samples: Sequence[float]) -> tuple[float, float]:
    """The 95% confidence interval of the median of independent samples, whatever they follow.

    The r-th smallest and the r-th largest sample enclose the median with probability
    1 − 2·P(B < r), B ~ Binomial(n, ½); r is the largest that leaves 95%. Runs in a row are not
    quite independent, and stopping once the interval is narrow favours lucky ones, so that the
    true coverage is somewhat less.

    Raises:
        ValueError: fewer than `FEWEST_REPEATS` samples.
    """
    rank = _interval_rank(len(samples))
    if rank < 1:
        raise ValueError(f"{len(samples)} samples have no 95% interval of the median")
    ordered = sorted(samples)
    return ordered[rank - 1], ordered[-rank]


@functools.lru_cache(maxsize=4096)
def _interval_rank(n: int) -> int:
    total, term, rank = 0, 1, 0
    # Whole numbers: P(B < r) ≤ 2.5% where 40 times the sum of binomials is at most 2ⁿ.
    while 40 * (total + term) <= 2**n:
        total += term
        term = term * (n - rank) // (rank + 1)
        rank += 1
    return rank


def is_settled(samples: Sequence[float], tolerance: float = TOLERANCE) -> bool:
    """Whether the median's 95% interval lies within ±`tolerance` of the median."""
    if len(samples) < FEWEST_REPEATS:
        return False
    low, high = median_interval(samples)
    median = percentile(samples, 50)
    return (1 - tolerance) * median <= low and high <= (1 + tolerance) * median


def percentile(samples: Sequence[float], percent: float) -> float:
    """Linear interpolation between the two nearest samples, as NumPy's default."""
    ordered = sorted(samples)
    position = percent / 100 * (len(ordered) - 1)
    below = math.floor(position)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (position - below) * (ordered[above] - ordered[below])


def summarise(
    times: Sequence[float], batch: int, threads: int, runtime: str, device: str
) -> Latency:
    """The `Latency` of single runs in milliseconds."""
    low, high = median_interval(times)
    return Latency(
        median_ms=percentile(times, 50),
        p5_ms=percentile(times, 5),
        p95_ms=percentile(times, 95),
        batch=batch,
        threads=threads,
        runtime=runtime,
        device=device,
        low_ms=low,
        high_ms=high,
        repeats=len(times),
        converged=len(times) >= MIN_REPEATS and is_settled(times),
    )


def time_until_settled(
    call: Callable[[], object], seconds: float, max_repeats: int = 1000
) -> list[float]:
    """Milliseconds of each run of `call`, after a warm-up, until `is_settled` or a cap."""
    started = time.perf_counter()
    for number in range(1, 21):
        call()
        if number >= _WARM_UP_CALLS and time.perf_counter() - started > _WARM_UP_SECONDS:
            break
    times: list[float] = []
    next_look = MIN_REPEATS
    first = time.perf_counter()
    while True:
        started = time.perf_counter()
        call()
        ended = time.perf_counter()
        times.append(1e3 * (ended - started))
        repeats = len(times)
        if repeats < FEWEST_REPEATS:
            continue
        if ended - first >= seconds or repeats >= max_repeats:
            return times
        if repeats >= next_look:
            if is_settled(times):
                return times
            next_look = repeats + max(5, repeats // 10)
