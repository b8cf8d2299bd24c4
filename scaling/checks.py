"""What of settings types cannot say."""

import math
from typing import Final

from blocks.latency.values import DEVICES
from blocks.names import choose, did_you_mean
from blocks.rounding import ROUNDINGS
from scaling.compound import ScalingError
from scaling.config import (
    FEWEST,
    CompareConfig,
    FitConfig,
    ResolutionConfig,
    ScalingConfig,
    given_coefficients,
    listed,
    literal_table,
)
from scaling.paper_tables import find_table
from scaling.rules import find_rule
from scaling.target import METRICS
from search.config.checks import validate_study_name
from search.config.places import EXECUTORS
from search.config.quantities import parse_quantity
from search.config.schema import LATENCY

SPLITS: Final = ("test", "val")
MAX_RATIO: Final = 256.0
"""Of `compare`: φ = 8 of the paper's doubling; beyond it no proxy is a proxy."""
MAX_COST: Final = 64.0
"""Of a fit."""
MAX_PHI: Final = 40.0
MAX_MEMBERS: Final = 1 + round(MAX_PHI)


def validate(config: ScalingConfig) -> None:
    """Check what types cannot say.

    Raises:
        ScalingError: names the setting, its value, and what was expected.
    """
    grid = config.grid
    for name, value, least in (
        ("grid.step", grid.step, 0.005),
        ("grid.tolerance", grid.tolerance, 0.0),
        ("grid.cost", grid.cost, 1.0),
        ("grid.epochs", grid.epochs, 1),
        ("num_classes", config.num_classes, 2),
        ("members", config.members, 1),
    ):
        _at_least(name, value, least)
    for name, value, most in (
        ("grid.tolerance", grid.tolerance, 1.0),
        ("grid.cost", grid.cost, MAX_COST),
        ("members", config.members, MAX_MEMBERS),
    ):
        if value > most:
            raise ScalingError(f"{name}={value:g} is too large; expected {most:g} or less")
    if config.executor is not None:
        choose("executor", config.executor, EXECUTORS, ScalingError)
    choose("grid.constraint", grid.constraint, ("nominal", "counted"), ScalingError, lead="")
    choose("method", config.method, ("surface", "grid"), ScalingError, lead="")
    _validate_fit(config.fit)
    if config.study is not None:
        validate_study_name(config.study)
    _validate_compare(config.compare)
    _validate_resolution(config.resolution)
    if config.paper is not None:
        find_table(config.paper)
    if config.rounding is not None and config.rounding not in ROUNDINGS:
        raise ScalingError(
            f"rounding={config.rounding} is unknown; expected {', '.join(ROUNDINGS)}"
            f"{did_you_mean(config.rounding, ROUNDINGS)}"
        )
    _validate_emit(config)
    if isinstance(config.coefficients, str):
        known = ("fitted", "published")
        if config.coefficients not in known:
            raise ScalingError(
                f"coefficients={config.coefficients} is unknown; expected fitted, published or "
                f"[alpha,beta,gamma]{did_you_mean(config.coefficients, known)}"
            )
        if literal_table(config) and config.members > 8:
            raise ScalingError(f"members={config.members}: the published table ends at b7, so 8")
    else:
        given_coefficients(config)


def _at_least(name: str, value: float | None, least: float) -> None:
    """Refuse a number below `least`, or none at all such as nan; None is a default."""
    if value is not None and not math.isfinite(value):
        raise ScalingError(f"{name}={value} is not a finite number; expected {least:g} or more")
    if value is not None and value < least:
        raise ScalingError(f"{name}={value} is too small; expected {least:g} or more")


def _validate_fit(fit: FitConfig) -> None:
    for name, value, least in (
        ("points", fit.points, FEWEST),
        ("minutes", fit.minutes, 0.1),
        ("repeated", fit.repeated, 0),
        ("seeds", fit.seeds, 1),
        ("cost", fit.cost, 1.2),
        ("tolerance", fit.tolerance, 0.001),
        ("draws", fit.draws, 100),
    ):
        _at_least(f"fit.{name}", value, least)
    if fit.cost > MAX_COST:
        raise ScalingError(f"fit.cost={fit.cost:g} is too large; expected {MAX_COST:g} or less")
    choose("fit.metric", fit.metric, (*METRICS, LATENCY), ScalingError, lead="")
    if (fit.metric == LATENCY) != (fit.latency_table is not None):
        raise ScalingError(
            f"fit.metric={fit.metric} with fit.latency_table={fit.latency_table}: a table belongs "
            "to latency_ms, which needs one (python -m blocks latency-table)"
        )
    for epochs in listed(fit.epochs):
        if not (isinstance(epochs, int) and not isinstance(epochs, bool) and epochs >= 1):
            raise ScalingError(
                f"fit.epochs={fit.epochs}: {epochs} is not a number of epochs; expected for "
                "example 4, or [4,8]"
            )
    for share in listed(fit.train_fraction):
        number = isinstance(share, int | float) and not isinstance(share, bool)
        if not (number and 0 < share <= 1):
            raise ScalingError(
                f"fit.train_fraction={fit.train_fraction}: {share} is not a share of the training "
                "images; expected above 0 and at most 1, or such as [0.5,1]"
            )
    if fit.train_fraction is None:
        raise ScalingError("fit.train_fraction=null is not a share; expected 1, or such as [0.5,1]")
    if fit.trained and fit.candidates:
        raise ScalingError(
            "fit.trained=true with fit.candidates=true: each has a deviation of its own from the "
            "surface, and a fit knows one; expected one of the two"
        )
    for name, values in (("epochs", fit.epochs), ("train_fraction", fit.train_fraction)):
        if values == [] or len(listed(values)) != len(set(listed(values))):
            raise ScalingError(f"fit.{name}={values} is empty or says one value twice")


def _validate_compare(compare: CompareConfig) -> None:
    for name, value, least in (
        ("compare.seeds", compare.seeds, 2),
        ("compare.random", compare.random, 0),
        ("compare.epochs", compare.epochs, 1),
    ):
        _at_least(name, value, least)
    if not compare.ratios:
        raise ScalingError("compare.ratios=[] compares nothing; expected numbers such as [2,4]")
    for ratio in compare.ratios:
        if not 1 < ratio <= MAX_RATIO:
            raise ScalingError(
                f"compare.ratios={ratio:g} is not over 1 and up to {MAX_RATIO:g}; expected "
                "multiples of B0's macs, such as [2,4]"
            )
    if not 0.001 <= compare.tolerance <= 0.5:
        raise ScalingError(
            f"compare.tolerance={compare.tolerance:g} is not a share of the macs from 0.001 to 0.5"
        )
    if compare.split not in SPLITS:
        raise ScalingError(f"compare.split={compare.split} is unknown; expected test or val")
    for name in compare.rules:
        if name not in ("paper", "fitted"):
            try:
                find_rule(name)
            except ScalingError as error:
                raise ScalingError(f"compare.rules: {error}, or paper") from None


def _validate_resolution(resolution: ResolutionConfig) -> None:
    _at_least("resolution.seeds", resolution.seeds, 1)
    _at_least("resolution.epochs", resolution.epochs, 1)
    if resolution.percents is not None:
        if not resolution.percents:
            raise ScalingError("resolution.percents=[] is empty; expected for example [50,100,130]")
        for percent in resolution.percents:
            if not 1 <= percent <= 1000:
                raise ScalingError(
                    f"resolution.percents={percent:g} is not a percentage from 1 to 1000"
                )
    if resolution.max_macs is not None:
        parse_quantity("resolution.max_macs", resolution.max_macs)


def _validate_emit(config: ScalingConfig) -> None:
    asked = [
        name for name in ("phis", "budgets", "latency_ms") if getattr(config, name) is not None
    ]
    if len(asked) > 1:
        raise ScalingError(f"{' and '.join(asked)} are given; expected one list of members")
    for name in asked:
        values = getattr(config, name)
        if not values:
            raise ScalingError(f"{name}=[] is empty; expected one member or more")
        # Files are called by them: six digits.
        if len({f"{v:g}" if isinstance(v, int | float) else str(v) for v in values}) < len(values):
            raise ScalingError(f"{name}={values} names a member twice")
    if config.exact is False and asked and asked != ["phis"]:
        raise ScalingError(f"{asked[0]} are met exactly or not at all; leave exact=false out")
    for phi in config.phis or ():
        if not (math.isfinite(phi) and abs(phi) <= MAX_PHI):
            raise ScalingError(f"phis={phi} is not a number from {-MAX_PHI:g} to {MAX_PHI:g}")
    for milliseconds in config.latency_ms or ():
        if not (math.isfinite(milliseconds) and milliseconds > 0):
            raise ScalingError(f"latency_ms={milliseconds} is not a finite number above 0")
    if config.metric not in METRICS:
        raise ScalingError(
            f"metric={config.metric} is unknown; expected {', '.join(METRICS)}"
            f"{did_you_mean(config.metric, METRICS)}"
        )
    if not (math.isfinite(config.tolerance) and 0 < config.tolerance < 1):
        raise ScalingError(f"tolerance={config.tolerance} is not between 0 and 1")
    if config.device not in ("here", *DEVICES):
        raise ScalingError(
            f"device={config.device} is unknown; expected here, {', '.join(DEVICES)}"
            f"{did_you_mean(config.device, ('here', *DEVICES))}"
        )
    if config.rule is not None:
        find_rule(config.rule)
        if config.rule == "compound" and config.coefficients == "published":
            raise ScalingError(
                "coefficients=published is a table and no triple; rule=compound takes fitted or "
                "[1.2,1.1,1.15], rule=published the table"
            )
        if config.coefficients != "fitted" and config.rule not in ("compound", "published"):
            raise ScalingError(
                f"rule={config.rule} has no coefficients; coefficients={config.coefficients} "
                "belong to rule=compound"
            )
