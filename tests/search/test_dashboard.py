"""The dashboard of a study: notes and pictures in a real browser's reach, the study untouched."""

import json
import shutil
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from optuna.artifacts.exceptions import ArtifactNotFound
from optuna.storages import JournalStorage
from optuna.trial import TrialState, create_trial

from blocks.cost import Cost
from search.config.face import config_from
from search.dashboard.journal import Followed
from search.dashboard.pages import Page, Pages
from search.record.trials import FailureRecord, TrialRecord
from search.study.objective import Objective
from tests.conftest import ROOT, Refuse, environment

GOLDEN = ROOT / "tests" / "golden" / "old_studies"
SPELLING = "r8-s8-[ds_r1_k3_s1_e1_c8|ir_r1_k3_s2_e3_c16]-h16"


@pytest.fixture
def results(tmp_path: Path) -> Path:
    return Path(shutil.copytree(GOLDEN, tmp_path / "results"))


def fetch(address: str) -> tuple[str, bytes]:
    """Media type and content."""
    with urllib.request.urlopen(address, timeout=30) as answer:
        return str(answer.headers["Content-Type"]), answer.read()


@pytest.fixture
def served(results: Path, tmp_path: Path) -> Iterator[tuple["subprocess.Popen[str]", str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "search", "dashboard", "study=half", "port=0"],
        cwd=tmp_path, env=environment(), text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    said = process.stdout.readline()
    assert "http://127.0.0.1:" in said, said + process.communicate()[1]
    yield process, next(word for word in said.split() if word.startswith("http"))
    process.kill()
    process.communicate()


def test_it_shows_a_study_and_leaves_it_as_it_was(
    served: tuple["subprocess.Popen[str]", str], results: Path
) -> None:
    process, address = served
    kind, page = fetch(address)
    assert kind.startswith("text/html")
    assert b"Optuna Dashboard" in page
    [summary] = json.loads(fetch(f"{address}/api/studies")[1])["study_summaries"]
    assert summary["study_name"] == "half"
    study: dict[str, Any] = json.loads(fetch(f"{address}/api/studies/0?after=0")[1])
    trials = {trial["number"]: trial for trial in study["trials"]}
    recorded = (results / "half" / "trials.jsonl").read_text().splitlines()
    lines = [json.loads(line) for line in recorded]
    assert len(lines) >= 2
    for line in lines:
        note = trials[line["number"]]["note"]["body"]
        assert line["arch"] in note
        assert "trained to the end" in note
        assert f"macs {line['cost']['macs']:,}, params {line['cost']['params']:,}" in note
        assert f"val accuracy {line['metrics']['val_accuracy']:.4f}" in note
        [drawing] = trials[line["number"]]["artifacts"]
        place = f"{address}/artifacts/0/{trials[line['number']]['trial_id']}"
        kind, svg = fetch(f"{place}/{drawing['artifact_id']}")
        assert kind == "image/svg+xml"
        assert line["arch"] in svg.decode()
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert errors.strip() == "interrupted; the study is as it was"
    for path in GOLDEN.rglob("*"):
        if path.is_file():
            own = results / path.relative_to(GOLDEN)
            assert own.read_bytes() == path.read_bytes(), path
    assert len(list(results.rglob("*"))) == len(list(GOLDEN.rglob("*")))


def test_a_journal_is_followed_while_a_search_writes_it(tmp_path: Path) -> None:
    lines = (GOLDEN / "finished" / "optuna.journal").read_bytes().splitlines(keepends=True)
    path = tmp_path / "optuna.journal"
    half = len(lines) // 2
    path.write_bytes(b"".join(lines[:half]) + lines[half][:20])  # the next is being written
    storage = JournalStorage(Followed(path))
    [study] = storage.get_all_studies()
    before = len(storage.get_all_trials(study._study_id))
    storage.set_study_system_attr(study._study_id, "note", "ours")
    written = path.read_bytes()
    path.write_bytes(b"".join(lines))
    trials = storage.get_all_trials(study._study_id)
    assert before < len(trials) == 6
    assert all(trial.state == TrialState.COMPLETE for trial in trials)
    assert storage.get_study_system_attrs(study._study_id)["note"] == "ours"
    assert b"ours" not in written + path.read_bytes()


def test_each_end_of_a_trial_has_its_words_and_a_training_its_curve() -> None:
    objective = Objective.of(config_from(budget={"target": "1M"}))
    stopped = TrialRecord(
        0, SPELLING, Cost(5, 6, 7, 8), {"val_accuracy": 0.5, "val_loss": 1.5}, 0,
        {"epochs": 3, "of": 12}, {"train": 2.0}, {}, (2.3, 2.0, 1.75),
    )  # fmt: skip
    failed = FailureRecord(1, SPELLING, "nan", "the loss became nan", ("last line",))
    value = {"state": TrialState.COMPLETE, "value": 1.0}
    pruned = create_trial(state=TrialState.PRUNED)
    pruned.number = 0
    again = create_trial(**value)
    again.number = 7
    pages = {
        0: Page(pruned, stopped, objective, 10),
        1: Page(create_trial(state=TrialState.PRUNED), failed, objective, 10),
        2: Page(create_trial(state=TrialState.PRUNED), None, objective, 10),
        3: Page(create_trial(state=TrialState.RUNNING), None, objective, 10),
        7: Page(again, stopped, objective, 10),
    }
    for number, words in {
        0: "stopped early, after 3 of 12 epochs",
        1: "failed (nan):\n\n````\nthe loss became nan\n````",
        2: "not trained: over the budget",
        3: "not ended yet",
        7: "the network of trial 0, which was not trained again",
    }.items():
        assert words in pages[number].note
    assert "last line" in pages[1].note
    assert [name for name, _, _ in pages[0].files] == ["0-d", "0-c"]
    assert pages[2].files == []
    store = Pages(pages)
    assert store.open_reader("0-c").read().startswith(b"\x89PNG")
    for name in ("5-d", "0-e", "x"):
        with pytest.raises(ArtifactNotFound):
            store.open_reader(name)


def test_what_cannot_be_shown_is_one_line(
    results: Path, refuse: Refuse, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        said = refuse("search", "dashboard", "study=half", f"port={port}")
    assert f"cannot listen at host=127.0.0.1 port={port}" in said
    assert "expected a number up to 65535" in refuse("search", "dashboard", "port=high")
    assert "host= has no value" in refuse("search", "dashboard", "host=")
    assert "no study 'haf'" in refuse("search", "dashboard", "study=haf")
    journal = results / "half" / "optuna.journal"
    journal.write_text('{"op_code":\n')
    assert "optuna.journal is damaged" in refuse("search", "dashboard", "study=half", "port=0")
    journal.unlink()
    assert "has no trial yet" in refuse("search", "dashboard", "study=half", "port=0")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    said = refuse("search", "dashboard", "study=half")
    assert 'pip install "compound-nas[dashboard]"' in said
