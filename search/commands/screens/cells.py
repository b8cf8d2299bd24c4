"""Cells of tables."""

import math


def estimate(value: float, interval: tuple[float, float]) -> str:
    """A value with its interval, `0.52 (0.31 to 0.70)`; a dash where there is none."""
    return "–" if math.isnan(value) else f"{value:.2f} ({interval[0]:.2f} to {interval[1]:.2f})"
