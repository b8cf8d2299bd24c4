"""Quantities as people write them: `25M`, `0.4G`, `0.35` milliseconds."""

import math
import re

from search.errors import ConfigError


def parse_quantity(name: str, value: object) -> int:
    """`25_000_000`, `25e6`, `"25M"` or `"0.4G"` as a whole number.

    Raises:
        ConfigError: anything else, or less than 1.
    """
    text = str(value).replace("_", "")
    match = re.fullmatch(r"([0-9]*\.?[0-9]+(?:[eE][+-]?[0-9]+)?)([kKMG]?)", text)
    if match is None or isinstance(value, bool):
        raise ConfigError(
            f"{name}={value} is not a quantity; expected for example 25000000, 25M, 0.4G"
        )
    number = float(match[1]) * {"": 1, "k": 1e3, "K": 1e3, "M": 1e6, "G": 1e9}[match[2]]
    if not math.isfinite(number) or number < 1:
        raise ConfigError(f"{name}={value} is below 1; expected for example 25000000, 25M, 0.4G")
    return round(number)


def parse_milliseconds(name: str, value: object) -> float:
    """`4`, `0.35` or `"1e-2"` as a number of milliseconds.

    Raises:
        ConfigError: anything else, or no positive number.
    """
    try:
        number = math.nan if isinstance(value, bool) else float(str(value))
    except ValueError:
        number = math.nan
    if not (math.isfinite(number) and number > 0):
        raise ConfigError(
            f"{name}={value} is not a number of milliseconds; expected for example 4, 0.35"
        )
    return number
