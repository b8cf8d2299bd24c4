"""Studies of an earlier version: they are read, gone on with and scaled as they always were, but
that no member of a family has less than b0 any more where another network costs the same.

`golden/old_studies` holds a study that is complete, and one whose files end in the middle of a
proposal, as a kill leaves them. `whole.json` holds the networks of both in one longer run.
Nothing is compared that depends on the processor: no new accuracy, and nothing chosen by one.
"""

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from search.config.face import config_from
from search.record.folder import StudyFolder
from tests.conftest import ROOT, Cli

GOLDEN = ROOT / "tests" / "golden" / "old_studies"
SETTINGS = [
    "dataset=npz",
    "space.stem=8",
    "space.head=16",
    "space.stages=[{channels:8,stride:1,repeats:[1,2]},{channels:16,stride:2,repeats:[1,2]}]",
    "space.width=[0.5,1.0,1.5]",
    "space.skip=[true]",
    "space.expand_ratio=[1,2,3]",
    "space.kernel=[3,5]",
    "proxy.resolution=8",
    "space=tiny",
    "proxy.epochs=1",
    "proxy.crop_padding=0",
    "proxy.start_resolution=0.5",
    "proxy.precision=fp32",
    "proxy.kernels=torch",
    "search.finalists=1",
    "search.final_epochs=2",
    "search.references=[]",
    "search.controls=0",
    "search.scale=false",
    "workers.count=1",
    "workers.device=cpu",
]
FINISHED = ["study=finished", "sampler=random", "budget.max_macs=45k"]
HALF = ["study=half", "sampler=tpe", "objective=accuracy", "budget.max_macs=20k"]


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """A copy of the old studies, in the folder where commands run."""
    return Path(shutil.copytree(GOLDEN, tmp_path / "results"))


@pytest.fixture
def settings(digits: Path) -> list[str]:
    """What both studies were made with; the images now lie elsewhere."""
    return [*SETTINGS, f"dataset.root={digits}"]


def networks(study: Path) -> dict[str, str]:
    """The trained networks of a study by the number of their trial."""
    text = (study / "trials.jsonl").read_text()
    lines = sorted(map(json.loads, text.splitlines()), key=lambda line: int(line["number"]))
    return {str(line["number"]): line["arch"] for line in lines}


def whole(study: str) -> dict[str, str]:
    """The networks of the same study, run without a stop."""
    found: dict[str, dict[str, str]] = json.loads((GOLDEN / "whole.json").read_text())
    return found[study]


def table(path: Path) -> list[dict[str, Any]]:
    """The rows of a CSV file, without the one column that is a power."""
    with open(path, encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return [{name: row[name] for name in row if name != "reward"} for row in rows]


def member(path: Path) -> dict[str, Any]:
    """A member of a family, without the versions of what made it."""
    content: dict[str, Any] = yaml.safe_load(path.read_text())
    content.pop("versions")
    return content


def test_a_finished_study_is_read_and_scaled(cli: Cli, results: Path) -> None:
    study, old = results / "finished", GOLDEN / "finished"
    shown = cli("search", "status", "study=finished").stdout
    assert "6 of 6 trials trained" in shown
    assert "written: b0.yaml, scaling/fit.json, coefficients.yaml" in shown

    (study / "pareto.csv").unlink()
    assert "Pareto front of finished" in cli("search", "front", "study=finished").stdout
    assert table(study / "pareto.csv") == table(old / "pareto.csv")

    shutil.rmtree(study / "family")
    cli("scaling", "emit", "study=finished", "members=3")
    names = sorted(path.name for path in (old / "family").iterdir())
    assert sorted(path.name for path in (study / "family").iterdir()) == names
    assert (study / "family/family.csv").read_bytes() == (old / "family/family.csv").read_bytes()
    for name in names[:3]:
        assert member(study / "family" / name) == member(old / "family" / name)


def test_a_finished_study_has_nothing_to_do_and_takes_more_trials(
    cli: Cli, results: Path, settings: list[str]
) -> None:
    study, old = results / "finished", GOLDEN / "finished"
    cli("search", "run", *settings, *FINISHED, "search.trials=6")
    for name in ("trials.jsonl", "final.jsonl", "b0.pt", "coefficients.yaml"):
        assert (study / name).read_bytes() == (old / name).read_bytes(), name

    cli("search", "run", *settings, *FINISHED, "search.trials=8")
    for name in ("trials.jsonl", "optuna.journal"):
        assert (study / name).read_bytes().startswith((old / name).read_bytes()), name
    assert networks(study) == whole("finished")


def test_a_half_done_study_goes_on(cli: Cli, results: Path, settings: list[str]) -> None:
    study, old = results / "half", GOLDEN / "half"
    before = networks(old)
    shown = cli("search", "run", *settings, *HALF, "search.trials=8").stdout
    assert f"going on with {len(before)} candidates" in shown
    for name in ("trials.jsonl", "optuna.journal"):
        content = (old / name).read_bytes()
        kept = content[: content.rfind(b"\n") + 1]  # without the line that the kill cut off
        assert (study / name).read_bytes().startswith(kept), name
    # What comes next follows from the old records alone; what comes later from the new ones too.
    after = networks(study)
    assert len(after) == 8
    known = len(before) + 1
    assert list(after.items())[:known] == list(whole("half").items())[:known]
    assert (study / "b0.yaml").exists()


def test_the_one_reference_of_an_old_study_is_a_list_of_one(tmp_path: Path) -> None:
    folder = StudyFolder(str(tmp_path), "old")
    folder.open(config_from(study="old"))
    path = folder / "config.yaml"
    settings = yaml.safe_load(path.read_text())
    for name, expected in (("mnasnet_a1", ["mnasnet_a1"]), (None, [])):
        search = {key: value for key, value in settings["search"].items() if key != "references"}
        path.write_text(yaml.safe_dump({**settings, "search": {**search, "reference": name}}))
        assert folder.read_config().search.references == expected
