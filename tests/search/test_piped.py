"""What commands print in a pipe or a log: 80 columns, and a network by its number or its name."""

import shutil
from pathlib import Path

import pytest

from blocks.console import LINE, console
from search.commands import front, status
from search.record.folder import StudyFolder
from tests.conftest import ROOT

OLD = ROOT / "tests/golden/old_studies/finished"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StudyFolder:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(console, "columns", LINE)
    shutil.copytree(OLD, Path("results", "old"))
    return StudyFolder("results", "old")


def printed(capsys: pytest.CaptureFixture[str], *spellings: str) -> str:
    said = capsys.readouterr().out
    assert max(map(len, said.splitlines())) <= LINE
    assert not any(each in said for each in spellings)
    return said


def test_of_a_study(folder: StudyFolder, capsys: pytest.CaptureFixture[str]) -> None:
    spellings = [record.arch for record in folder.completed()]
    status.run(["study=old"])
    assert "trial " in printed(capsys, *spellings)
    front.run(["study=old"])
    said = printed(capsys, *spellings)
    assert "architecture" not in said
    assert said.endswith("results/old/pareto.csv has their spellings\n")
