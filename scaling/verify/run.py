"""Comparing a family with what it was made from."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from blocks.errors import CompoundNasError, one_line
from blocks.yaml_text import load_yaml
from scaling.config import ScalingConfig
from scaling.family.origin import family_folder
from scaling.verify.member import check_member
from scaling.verify.study import check_study
from scaling.verify.table import check_table
from search.errors import StudyError

_DAMAGE: Final = (
    CompoundNasError, KeyError, TypeError, ValueError, AttributeError, ArithmeticError,
)  # fmt: skip
"""What a record that somebody has changed may raise."""


@dataclass(frozen=True)
class Verification:
    """How many members were rebuilt, and what is not as recorded."""

    study: str
    members: int
    differences: tuple[str, ...]


def verify(config: ScalingConfig) -> Verification:
    """Compare a family with what it was made from.

    Every member is rebuilt from its YAML (spelling, fields, the recorded multipliers applied to the
    baseline, and its rule solved again for its target must make one network), counted by arithmetic
    and by fvcore, and compared with its line of family.csv. In a study the coefficients must be
    those of coefficients.yaml, these those of what was fitted, the B0 that of b0.yaml, and the
    images, read again, those whose hash is recorded. The versions must be those that are installed,
    and what is recorded to exist must be there.

    Raises:
        StudyError: there is no family to verify, or a file of the study is damaged.
    """
    folder = family_folder(config)
    family = folder / "family"
    if not folder.path.is_dir():
        folder.require()
    paths = sorted(family.glob("*.yaml"))
    if not paths and not (family / "family.csv").exists():
        raise StudyError(
            f"{family} holds no family; write one first: python -m scaling emit "
            f"study={folder.study}"
        )
    differences: list[str] = []
    members: dict[str, dict[str, Any]] = {}
    for path in paths:
        try:
            content = _read(path)
            differences += [f"{path}: {said}" for said in check_member(content)]
            if content["name"] != path.stem:
                differences.append(f"{path}: name is {content['name']}, not {path.stem}")
            members[path.stem] = content
        except _DAMAGE as error:
            what = f"no {error}" if isinstance(error, KeyError) else one_line(error)
            differences.append(f"{path}: damaged: {what}")
    differences += [f"{family / 'family.csv'}: {said}" for said in check_table(family, members)]
    if (folder / "config.yaml").exists():
        differences += check_study(folder, members)
    elif any(content.get("dataset") or content.get("fitted") for content in members.values()):
        differences.append(f"{folder / 'config.yaml'}: missing, though the family is of a study")
    return Verification(folder.study, len(members), tuple(differences))


def _read(path: Path) -> dict[str, Any]:
    try:
        content = load_yaml(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ValueError(one_line(error)) from None
    if not isinstance(content, dict):
        raise TypeError("not a mapping")
    return content
