"""What a fit leaves in a study's folder for later: its trainings, and `coefficients.yaml`."""

from dataclasses import dataclass
from typing import Final

import yaml

from blocks.arch import ArchSpec, format_arch
from blocks.errors import DAMAGED, one_line
from blocks.rounding import ROUNDINGS
from blocks.yaml_text import load_yaml
from scaling.compound import ScalingCoefficients
from search.errors import StudyError
from search.record.folder import StudyFolder

RUNS: Final = "scaling/runs.jsonl"
"""In a study's folder: every training of a fit, of either method."""


@dataclass(frozen=True)
class Fitted:
    """What a fit found, for whoever scales by it.

    `rounding` is that of the networks that were trained, `trained` the macs over B0's of the
    largest; None: not recorded, by versions before 0.2.
    """

    coefficients: ScalingCoefficients
    rounding: str | None
    trained: float | None


def read_fit(folder: StudyFolder, baseline: ArchSpec) -> Fitted:
    """What was fitted for a study's B0.

    Raises:
        StudyError: not fitted yet, fitted for another B0, or a damaged file.
    """
    path = folder / "coefficients.yaml"
    try:
        content = load_yaml(path.read_text(encoding="utf-8"))
        coefficients = ScalingCoefficients(content["alpha"], content["beta"], content["gamma"])
        fitted_for, rounding = content["baseline"], content.get("rounding")
        trained = content.get("trained_macs_ratio")
        trained = None if trained is None else float(trained)
    except FileNotFoundError:
        raise StudyError(
            f"{folder.path} has no coefficients.yaml; fit them first: "
            f"python -m scaling fit study={folder.study}"
        ) from None
    except (yaml.YAMLError, *DAMAGED) as error:
        raise StudyError(f"{path} is damaged: {one_line(error)}") from None
    if fitted_for != format_arch(baseline):
        raise StudyError(
            f"{path} was fitted for another B0; fit again: "
            f"python -m scaling fit study={folder.study}"
        )
    if rounding is not None and rounding not in ROUNDINGS:
        raise StudyError(f"{path} is damaged: rounding is {rounding}")
    return Fitted(coefficients, rounding, trained)
