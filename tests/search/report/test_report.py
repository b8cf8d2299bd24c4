"""`python -m search report`: one page of a study, from whatever is on disk."""

import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from search.errors import StudyError
from search.record.folder import StudyFolder
from search.record.trials import read_records
from search.report import page
from search.report.answer import answer
from search.report.blocks import Room
from search.report.facts import Facts
from search.report.importance import importance
from search.report.page import report_at_end, write_report
from search.report.searched import searched
from search.report.sections import ORDER
from tests.conftest import ROOT, Refuse
from tests.search.report.conftest import EVIL, Make


class Page(HTMLParser):
    """What a browser would make of a page: its scripts, ids, addresses, and text outside of
    scripts and styles."""

    def __init__(self, content: str) -> None:
        super().__init__()
        self.scripts: list[str] = []
        self.ids: list[str] = []
        self.addresses: list[str] = []
        self.copied: list[str] = []
        self.text = ""
        self._within = ""
        self.feed(content)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        known = dict(attrs)
        self._within = tag
        if tag == "script":
            self.scripts.append("")
        self.ids += [value for name, value in attrs if name == "id" and value]
        self.addresses += [known[name] or "" for name in ("src", "href") if name in known]
        self.copied += [value for name, value in attrs if name == "data-copy" and value]

    def handle_endtag(self, tag: str) -> None:
        self._within = ""

    def handle_data(self, data: str) -> None:
        if self._within == "script":
            self.scripts[-1] += data
        elif self._within != "style":
            self.text += data

    def sections(self) -> list[str]:
        return [name for name in ORDER if name in self.ids]


def read(folder: StudyFolder) -> Page:
    return Page(write_report(folder).read_text("utf-8"))


def test_a_page_needs_no_network_and_is_the_same_again(chosen: StudyFolder) -> None:
    path = write_report(chosen)
    content = path.read_bytes()
    assert write_report(chosen).read_bytes() == content
    assert len(content) < 3_000_000
    shown = Page(content.decode())
    assert all(each.startswith(("#", "data:")) for each in shown.addresses), shown.addresses
    assert len(shown.ids) == len(set(shown.ids))
    assert {"plot-front", "plot-progress", "plot-region", "plot-curves"} <= set(shown.ids)
    assert sum(len(each) > 1_000_000 for each in shown.scripts) == 1  # plotly, once
    assert shown.sections() == [
        "front", "final", "family", "scaling", "progress", "curves", "won", "importance", "errors",
        "members", "hours", "failures", "made",
    ]  # fmt: skip
    assert max(chosen.completed(), key=lambda r: r.metrics["val_accuracy"]).arch in shown.copied


def test_names_are_escaped_wherever_they_stand(chosen: StudyFolder) -> None:
    content = write_report(chosen).read_text("utf-8")
    assert EVIL not in content
    shown = Page(content)
    assert shown.text.count(EVIL) >= 4  # the answer, the finalists, the family, the classes
    assert "out of memory: <8 GB> & more" in shown.text
    figures = [each for each in shown.scripts if each.startswith('{"data"')]
    # plotly, its figures, and the page's own: names began no script of theirs.
    assert len(shown.scripts) == len(figures) + 2


@pytest.mark.parametrize(
    ("mean", "interval", "says"),
    [
        (0.021, [0.004, 0.038], "It beats it, the best published network at this budget, by 2.1 "
         "points of test accuracy on 2,000 test images (95% +0.4 to +3.8)."),
        (0.010, [-0.007, 0.028], "It is +1.0 points of test accuracy from it, the best published "
         "network at this budget, which is not told apart on 2,000 test images (95% -0.7 to "
         "+2.8)."),
        (-0.02, [-0.03, -0.01], "It is behind it, the best published network at this budget, by "
         "2.0 points of test accuracy on 2,000 test images (95% -3.0 to -1.0)."),
    ],
)  # fmt: skip
def test_the_answer_is_made_from_the_numbers(
    chosen: StudyFolder, mean: float, interval: list[float], says: str
) -> None:
    facts = Facts.read(chosen)
    facts.baseline["gain"] = {
        "reference": "it", "test_accuracy": mean, "interval_95": interval,
    }  # fmt: skip
    first, second = answer(facts)
    trial, macs = facts.baseline["trial"], facts.baseline["cost"]["macs"]
    assert first.startswith(f"The chosen B0 is trial {trial}: it costs {macs / 1e6:.2f}M macs")
    assert first.endswith("it reaches a test accuracy of 0.9012 after 16 epochs.")
    assert second == says


def test_a_published_network_that_won_is_said(chosen: StudyFolder) -> None:
    facts = Facts.read(chosen)
    facts.baseline |= {"trial": None, "reference": "known: cut", "gain": None}
    first, second = answer(facts)
    assert "is the published known, cut to these images" in first
    assert second.startswith("Of 60 candidates the best were trained as long as it")


def test_what_won_is_what_was_made_to_win(searching: StudyFolder) -> None:
    facts = Facts.read(searching)
    sections = {each.key: each for each in searched(facts, {})}
    figure: dict[str, Any] = sections["won"].blocks[1].figure  # type: ignore[union-attr]
    [trace] = figure["data"]
    table = dict(zip(trace["y"], trace["z"], strict=True))
    firsts = {name: row[0] for name, row in table.items() if row[0] is not None}
    assert max(firsts, key=lambda name: firsts[name]) == "kernel 5"
    # All of the best have it; of all, those that were drawn with it.
    records = facts.completed
    share = np.mean(["_k5_" in record.arch.partition("|")[0] for record in records])
    assert firsts["kernel 5"] == pytest.approx(100 * (1 - share))
    found = importance(facts)
    assert found is not None
    [bar] = found.blocks[1].figure["data"]  # type: ignore[union-attr]
    assert bar["y"][0] == "stage1.kernel"
    assert bar["x"] == sorted(bar["x"], reverse=True)


def test_the_front_is_that_of_the_records(searching: StudyFolder) -> None:
    drawings: dict[str, str] = {}
    [section] = [each for each in searched(Facts.read(searching), drawings) if each.key == "front"]
    [figure] = [each.figure for each in section.blocks if each.kind == "figure"]  # type: ignore[union-attr]
    front = next(each for each in figure["data"] if each["name"].startswith("front"))
    records = {record.arch: record for record in searching.completed()}
    on_front = [records[spelling] for spelling, _ in front["customdata"]]
    for record in records.values():
        beaten = any(
            other.cost.macs <= record.cost.macs
            and other.metrics["val_accuracy"] >= record.metrics["val_accuracy"]
            and other is not record
            for other in records.values()
        )
        assert (record in on_front) == (not beaten)
    assert [name for _, name in front["customdata"]] == list(drawings)[: len(on_front)]
    known = next(each for each in figure["data"] if each["name"] == "known")
    assert drawings[known["customdata"][0][1]].startswith("<svg")


def test_of_an_unfinished_search(searching: StudyFolder) -> None:
    shown = read(searching)
    assert "No B0 is chosen yet: of 60 candidates 60 are trained" in shown.text
    assert "Go on with: python -m search run study=made" in shown.text
    assert {"front", "failures", "made"} <= set(shown.sections())
    assert not {"final", "family", "scaling", "members"} & set(shown.sections())


def test_of_failures_only(make: Make) -> None:
    shown = read(make(0, 3))
    assert "No candidate was trained to the end: 3 failed (3 oom)." in shown.text
    assert shown.sections() == ["failures", "made"]


@pytest.mark.parametrize("study", ["finished", "half"])
def test_of_an_old_study(tmp_path: Path, study: str) -> None:
    shutil.copytree(ROOT / "tests/golden/old_studies" / study, tmp_path / study)
    folder = StudyFolder(str(tmp_path), study)
    before = {path: path.read_bytes() for path in folder.path.rglob("*") if path.is_file()}
    shown = read(folder)
    assert "front" in shown.sections()
    assert ("family" in shown.sections()) == (study == "finished")
    assert all(path.read_bytes() == content for path, content in before.items())


def test_pictures_that_have_no_room_are_named(chosen: StudyFolder) -> None:
    path = chosen / "trained" / "b0" / "confusion.png"
    noise = np.random.default_rng(0).integers(0, 255, (900, 900, 3), np.uint8)
    Image.fromarray(noise).save(path)
    room = Room(100_000)
    assert room.picture(path, "it", "there").uri == ""
    assert room.left == 100_000
    shown = read(chosen)
    assert "trained/b0/confusion.png" in shown.addresses
    assert any(each.startswith("data:image/webp") for each in shown.addresses)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [("b0.yaml", "{[", "b0.yaml is damaged"), ("coefficients.yaml", "{[", "yaml is damaged"),
     ("b0.yaml", "finalists: 3", "is damaged, or not of this version: TypeError")],
)  # fmt: skip
def test_a_damaged_file_is_refused(
    chosen: StudyFolder, refuse: Refuse, name: str, content: str, message: str
) -> None:
    chosen.write(name, content)
    said = refuse("search", "report", "study=made", f"results_dir={chosen.path.parent}")
    assert message in said
    assert not (chosen / "report.html").exists()


def test_a_setting_of_the_study_is_refused(refuse: Refuse) -> None:
    assert "`report` takes as it was" in refuse("search", "report", "search.trials=3")


def test_without_plotly_a_run_ends_well_and_says_so(
    searching: StudyFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page, "NEEDED", ("sys", "no_such_package"))
    (searching / "report.html").unlink(missing_ok=True)
    with pytest.raises(StudyError, match=r"a report needs no_such_package.*pip install"):
        write_report(searching)
    said = report_at_end(searching)
    assert said.startswith("no report.html: no_such_package not installed")
    assert len(said.splitlines()) == 1
    assert not (searching / "report.html").exists()


def test_a_page_that_cannot_be_made_fails_no_run(chosen: StudyFolder) -> None:
    chosen.write("b0.yaml", "finalists: 3\n")
    assert report_at_end(chosen).startswith("no report.html: ")


def test_it_reads_without_torch() -> None:
    """A report is quick to ask for."""

    code = "import sys, search.report.page; print(*{'torch', 'optuna', 'hydra'} & {*sys.modules})"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stdout.split() == []


def test_every_record_has_a_place(searching: StudyFolder) -> None:
    facts = Facts.read(searching)
    assert len(facts.trained) + len(facts.failures) == len(read_records(searching.trials))
