"""Checks of one field's value, whose errors name the field and what was expected."""

import math
from typing import Any

from blocks.errors import ArchError
from blocks.names import did_you_mean


def check_word(name: str, value: object, known: Any) -> None:
    if value not in known:
        raise ArchError(
            f"unknown {name} {value!r}; expected one of {', '.join(known)}"
            f"{did_you_mean(value, known)}"
        )


def check_int(name: str, value: object, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ArchError(f"{name} {value!r} is not a whole number of {least} or more")


def check_stride(name: str, value: object) -> None:
    check_int(name, value, 1)
    if value not in (1, 2):
        raise ArchError(f"{name} {value} is not 1 or 2")


def check_real(name: str, value: object, least: float, most: float) -> None:
    real = isinstance(value, int | float) and not isinstance(value, bool)
    # Compared first: a whole number may be too large to be a float.
    if not real or not least <= value <= most or not math.isfinite(value):  # type: ignore[arg-type, operator]
        raise ArchError(f"{name} {value!r} is not a number from {least:g} to {most:g}")
