"""Settings: defaults are said once, and the help, the YAML file and Python agree on them."""

import re
from dataclasses import FrozenInstanceError, replace
from typing import Any

import numpy as np
import pytest
import yaml

from blocks.errors import CompoundNasError
from scaling.__main__ import HELP
from scaling.compound import ScalingCoefficients
from scaling.config import CompareConfig, FitConfig, ScalingConfig
from scaling.settings import make_settings, read_settings
from search.config.compose import known_keys
from tests.conftest import ROOT

IN_WORDS = {"study": "main", "rule": "compound", "exact": "true, but for the published table"}
"""Defaults that follow from other settings: null in the dataclass, words in the help."""


def entries() -> list[tuple[list[str], str | None]]:
    """The settings of each entry of the help, and what stands in the brackets at its end."""
    lines = HELP.partition("\nsettings\n")[2].partition("\n\n")[0].splitlines()
    whole: list[str] = []
    for line in lines:
        if re.match(r"  \S", line):
            whole.append(line.strip())
        else:
            whole[-1] += f" {line.strip()}"
    found = []
    for entry in whole:
        names = re.findall(r"(?:^|[ (])([a-z_]+(?:\.[a-z_]+)?)=(?=[A-Z\[ ]|$)", entry)
        names = [name for name in names if name in known_keys(ScalingConfig)]
        default = re.search(r"\[((?:[^\[\]]|\[[^\[\]]*\])*)\]$", entry)
        found.append((names, default[1] if default else None))
    return found


def default_of(name: str) -> Any:
    found: Any = ScalingConfig()
    for part in name.split("."):
        found = getattr(found, part)
    return found


def spelt(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return ",".join(map(spelt, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def test_the_help_says_the_defaults() -> None:
    checked = 0
    for names, said in entries():
        if said is None:
            continue
        parts = [said] if len(names) == 1 else re.split(r" and |, ", said)
        for name, part in zip(names, parts, strict=False):
            default = default_of(name)
            if default is None:
                assert name not in IN_WORDS or part == IN_WORDS[name]
            else:
                assert part.strip("[]") == spelt(default), name
                checked += 1
    assert checked >= 25


def test_the_help_names_every_setting() -> None:
    assert {name for names, _ in entries() for name in names} == set(known_keys(ScalingConfig))


def test_the_yaml_file_has_no_defaults_of_its_own() -> None:
    content = yaml.safe_load((ROOT / "conf" / "scaling.yaml").read_text())
    assert content == {"defaults": ["scaling_schema", "_self_"]}
    assert read_settings([]) == ScalingConfig()


def test_settings_are_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        ScalingConfig().members = 3  # type: ignore[misc]
    with pytest.raises(FrozenInstanceError):
        FitConfig().points = 3  # type: ignore[misc]


def test_keywords_are_the_command_lines_settings() -> None:
    expected = replace(
        ScalingConfig(study="a", rounding="floor"), fit=FitConfig(points=24, epochs=[2, 4])
    )
    assert read_settings(["study=a", "rounding=floor", "fit.points=24", "fit.epochs=[2,4]"]) == (
        expected
    )
    flat = {"study": "a", "rounding": "floor", "points": 24, "epochs": (2, 4)}
    assert make_settings(flat, ("study", "rounding"), ("fit",)) == expected
    grouped = {"study": "a", "rounding": "floor", "fit": {"points": 24, "epochs": [2, 4]}}
    assert make_settings(grouped, ("study", "rounding"), ("fit",)) == expected
    group = {"study": "a", "rounding": "floor", "fit": expected.fit}
    assert make_settings(group, ("study", "rounding"), ("fit",)) == expected
    arrays = {"ratios": np.array([2.0, 8.0]), "seeds": np.int64(4)}
    assert make_settings(arrays, (), ("compare",)).compare == CompareConfig([2.0, 8.0], 4)
    triple = make_settings({"coefficients": ScalingCoefficients(1.2, 1.1, 1.15)}, ("coefficients",))
    assert triple.coefficients == [1.2, 1.1, 1.15]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"point": 24}, r"unknown setting 'point' \(did you mean 'fit.points'\?\)"),
        ({"fit": {"pointz": 24}}, r"unknown setting 'fit.pointz' \(did you mean 'fit.points'\?\)"),
        ({"fit": 24}, "fit=24 is not a group of settings"),
        ({"points": "many"}, "fit.points=many: Value 'many'"),
        ({"points": 0}, "fit.points=0 is too small"),
        ({"draws": 5}, "fit.draws=5 is too small"),
        ({"study": "../x"}, "is not a folder name"),
    ],
)
def test_what_is_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(CompoundNasError, match=message):
        make_settings(given, ("study",), ("fit",))
