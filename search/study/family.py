"""What the scaling step left in a study's folder: the coefficients and the family.

`scaling` writes these files; here they are only read, so that one object shows all of a study.
"""

from dataclasses import dataclass, field

import pandas as pd
import yaml

from blocks.errors import DAMAGED, one_line
from blocks.yaml_text import load_yaml
from search.errors import StudyError
from search.record.folder import StudyFolder


@dataclass(frozen=True)
class Coefficients:
    """α, β, γ as fitted, with their 95% intervals by name, and the method: surface or grid."""

    alpha: float
    beta: float
    gamma: float
    method: str = "surface"
    intervals: dict[str, list[float]] = field(default_factory=dict)


def read_coefficients(folder: StudyFolder) -> Coefficients:
    """What `python -m scaling fit` found.

    Raises:
        StudyError: nothing is fitted yet, or the file is damaged.
    """
    path = folder / "coefficients.yaml"
    try:
        content = load_yaml(path.read_text(encoding="utf-8"))
        alpha, beta, gamma = (float(content[name]) for name in ("alpha", "beta", "gamma"))
        intervals = content.get("intervals") or {}
        return Coefficients(alpha, beta, gamma, content.get("method", "surface"), intervals)
    except FileNotFoundError:
        raise StudyError(
            f"{folder.path} has no coefficients.yaml; fit them first: "
            f"python -m scaling fit study={folder.study}"
        ) from None
    except (yaml.YAMLError, *DAMAGED) as error:
        raise StudyError(f"{path} is damaged: {one_line(error)}") from None


def read_family(folder: StudyFolder) -> pd.DataFrame:
    """A row per member of the family, b0 first.

    Raises:
        StudyError: there is no family yet, or the file is damaged.
    """
    path = folder / "family" / "family.csv"
    try:
        return pd.read_csv(path)
    except FileNotFoundError:
        raise StudyError(
            f"{folder.path} has no family yet; write it first: "
            f"python -m scaling emit study={folder.study}"
        ) from None
    except DAMAGED as error:
        raise StudyError(f"{path} is damaged: {one_line(error)}") from None
