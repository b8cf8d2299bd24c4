"""The schema of `conf/scaling.yaml`."""

import math
from dataclasses import dataclass, field
from typing import Any

from blocks.rounding import ROUNDINGS
from scaling.compound import ScalingCoefficients, ScalingError
from search.config import validate_study_name
from search.errors import did_you_mean


@dataclass
class GridConfig:
    """The paper's small grid at φ = 1: α, β, γ ≥ 1 with |α·β²·γ² − cost| ≤ tolerance."""

    step: float = 0.1
    tolerance: float = 0.05
    cost: float = 2.0
    epochs: int | None = None  # null: the study's proxy.epochs


@dataclass
class ScalingConfig:
    """All settings of `python -m scaling`."""

    study: str | None = None  # null: main, or the baseline's name where one is given
    results_dir: str = "results"
    baseline: str | None = None  # a published network or a spelling; null: the study's B0
    coefficients: Any = "fitted"  # fitted | published | [alpha, beta, gamma]
    num_classes: int = 1000  # of a given baseline; a study has its own
    members: int = 8  # b0 … b7
    rounding: str | None = None  # paper | floor | floor8; null: the study's, else paper
    grid: GridConfig = field(default_factory=GridConfig)


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
        ("grid.epochs", grid.epochs or 1, 1),
        ("num_classes", config.num_classes, 2),
        ("members", config.members, 1),
    ):
        if not (math.isfinite(value) and value >= least):
            raise ScalingError(f"{name}={value} is too small; expected {least:g} or more")
    if not grid.tolerance <= 1:
        raise ScalingError(f"grid.tolerance={grid.tolerance:g} is too large; expected 1 or less")
    if config.study is not None:
        validate_study_name(config.study)
    if config.rounding is not None and config.rounding not in ROUNDINGS:
        raise ScalingError(
            f"rounding={config.rounding} is unknown; expected {', '.join(ROUNDINGS)}"
            f"{did_you_mean(config.rounding, ROUNDINGS)}"
        )
    if isinstance(config.coefficients, str):
        known = ("fitted", "published")
        if config.coefficients not in known:
            raise ScalingError(
                f"coefficients={config.coefficients} is unknown; expected fitted, published or "
                f"[alpha,beta,gamma]{did_you_mean(config.coefficients, known)}"
            )
        if config.coefficients == "published" and config.members > 8:
            raise ScalingError(f"members={config.members}: the published table ends at b7, so 8")
    else:
        given_coefficients(config)


def given_coefficients(config: ScalingConfig) -> ScalingCoefficients:
    """The triple spelt on the command line.

    Raises:
        ScalingError: not three numbers of 1 or more.
    """
    triple = config.coefficients
    if not isinstance(triple, list) or len(triple) != 3:
        raise ScalingError(
            f"coefficients={triple} is not a triple; expected [alpha,beta,gamma], "
            "fitted or published"
        )
    return ScalingCoefficients(*triple)
