"""`python -m search compare`: several studies side by side."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from search.commands import compare
from search.record.folder import StudyFolder
from search.report.blocks import Figure, Table
from search.report.compare import home_of
from search.report.facts import Facts
from search.report.groups import attained_fronts, attained_progress
from search.report.several import answer_compared, read_studies, sections_compared
from tests.conftest import ROOT, Refuse

OLD = ROOT / "tests/golden/old_studies/finished"


def made(results: Path, name: str, reached: list[tuple[int, float]], **changed: Any) -> StudyFolder:
    """A study whose candidates have these macs and accuracies."""
    folder = StudyFolder(str(results), name)
    folder.path.mkdir(parents=True)
    config = yaml.safe_load((OLD / "config.yaml").read_text()) | {"study": name} | changed
    folder.write("config.yaml", yaml.safe_dump(config))
    first = json.loads((OLD / "trials.jsonl").read_text().splitlines()[0])
    lines = [
        {**first, "number": number, "cost": {**first["cost"], "macs": macs},
         "metrics": {**first["metrics"], "val_accuracy": accuracy}}
        for number, (macs, accuracy) in enumerate(reached)
    ]  # fmt: skip
    folder.write("trials.jsonl", "".join(json.dumps(line) + "\n" for line in lines))
    return folder


@pytest.fixture
def seeds(tmp_path: Path) -> list[StudyFolder]:
    """Two seeds of tpe, and two of random search."""
    return [
        made(tmp_path, "a0", [(100, 0.5), (300, 0.8)], seed=0, sampler="tpe"),
        made(tmp_path, "a1", [(200, 0.6), (300, 0.7), (400, 0.9)], seed=1, sampler="tpe"),
        made(tmp_path, "b0", [(100, 0.4), (400, 0.62)], seed=0, sampler="random"),
        made(tmp_path, "b1", [(100, 0.3), (400, 0.60)], seed=1, sampler="random"),
    ]


def test_what_seeds_reach_at_a_cost(seeds: list[StudyFolder]) -> None:
    compared = read_studies(seeds)
    names = [group.title for group in compared.groups]
    assert names == ["sampler=tpe (2 seeds)", "sampler=random (2 seeds)"]
    found = attained_fronts(compared, compared.groups[0])
    # By hand: at 100 macs only one of them has anything.
    assert found.at.tolist() == [200, 300, 400]
    assert found.least == pytest.approx([50, 70, 80])
    assert found.most == pytest.approx([60, 80, 90])
    progress = attained_progress(compared, compared.groups[0])
    assert progress.least == pytest.approx([50, 70, 80])
    assert progress.most == pytest.approx([60, 80, 90])
    figure = next(
        block for section in sections_compared(compared) for block in section.blocks
        if isinstance(block, Figure)
    )  # fmt: skip
    band = next(trace for trace in figure.figure["data"] if "fill" in trace)
    assert max(band["y"]) == pytest.approx(90)
    assert len(band["x"]) == len(band["y"])


def test_the_answer_says_what_chance_does(seeds: list[StudyFolder]) -> None:
    first, second = answer_compared(read_studies(seeds))
    assert first.startswith("Of 4 studies, a1 found the candidate with the highest")
    # (80, 90) against (62, 60): 24 points, of which Welch's interval is wide.
    assert "sampler=tpe (2 seeds) is 24.00 points above that of sampler=random" in second
    assert "not told apart" in second
    assert "differ in their seed alone" in answer_compared(read_studies(seeds[:2]))[1]
    assert "makes 10.0 points" in answer_compared(read_studies(seeds[:2]))[1]
    assert "Too few seeds" in answer_compared(read_studies([seeds[0], seeds[2]]))[1]
    seeds[0].write("environment.json", '{"dataset_sha256": "one"}')
    seeds[1].write("environment.json", '{"dataset_sha256": "other"}')
    assert "not of the same images" in answer_compared(read_studies(seeds))[1]


def test_what_differs_in_the_settings(seeds: list[StudyFolder]) -> None:
    [settings] = [each for each in sections_compared(read_studies(seeds)) if each.key == "settings"]
    [table] = [block for block in settings.blocks if isinstance(block, Table)]
    assert table.rows == [
        ["seed", "0", "1", "0", "1"], ["sampler", "tpe", "tpe", "random", "random"],
    ]  # fmt: skip


def test_a_page_and_figures(
    seeds: list[StudyFolder], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    compare.run(["study=[a0,a1]", f"results_dir={tmp_path}"])
    home = tmp_path / "compared" / "a0+a1"
    page = (home / "compare.html").read_text()
    assert "plot-fronts" in page
    assert "Study" not in page.partition("<h1>")[0].partition("<body>")[2]
    assert {path.name for path in (home / "figures").iterdir()} == {
        "fronts.png", "best.png", "captions.txt",
    }  # fmt: skip
    assert str(home / "compare.html") in capsys.readouterr().out


def test_a_sweep(seeds: list[StudyFolder], tmp_path: Path) -> None:
    (tmp_path / "sweeps" / "s").mkdir(parents=True)
    (tmp_path / "sweeps" / "s" / "front.csv").write_text("study,trial\nb0,0\nb1,0\nb0,1\n")
    compare.run(["sweep=s", f"results_dir={tmp_path}", "format=svg"])
    assert (tmp_path / "sweeps" / "s" / "compare.html").is_file()
    assert (tmp_path / "sweeps" / "s" / "figures" / "fronts.svg").is_file()


def test_long_names_make_a_folder(tmp_path: Path) -> None:
    names = [f"sampler-tpe_seed-{number}" for number in range(40)]
    assert len(home_of("results", names).name) < 80
    assert home_of("results", names) != home_of("results", [*names[:-1], "other"])


@pytest.mark.parametrize(
    ("given", "says"),
    [("study=a0", "one study (a0) compares with nothing"),
     ("study=[a0,a1,c]", "no study 'c'"), ("study=[a0,]", "no value between two of its commas"),
     ("sweep=t", "sweep=NAME of a `search run -m`"), ("seed=3", "which `compare` takes as it was"),
     ("study=[a0,empty]", "has no candidate that was trained to the end")],
)  # fmt: skip
def test_what_cannot_be_compared_is_refused(
    seeds: list[StudyFolder], tmp_path: Path, refuse: Refuse, given: str, says: str
) -> None:
    made(tmp_path, "empty", [])
    assert says in refuse("search", "compare", given, f"results_dir={tmp_path}")


def test_groups_of_other_images_are_apart(tmp_path: Path) -> None:
    config = yaml.safe_load((OLD / "config.yaml").read_text())
    one = made(tmp_path, "one", [(1, 0.5)])
    other = made(tmp_path, "other", [(1, 0.5)], dataset={**config["dataset"], "root": "elsewhere"})
    assert [group.name for group in read_studies([one, other]).groups] == ["one", "other"]
    assert np.isfinite(Facts.read(one).best.metrics["val_accuracy"])  # type: ignore[union-attr]
