"""A study from Python: opened, loaded, and what is said of folders that are none."""

import json
import logging
from pathlib import Path

import pytest
import torch
import yaml

from search import Study, run
from search.commands.status import describe
from search.config.change import changed
from search.config.schema import RunConfig
from search.config.settled import SettledConfig, SettledProxy, SettledWorkers
from search.data.datasets import load_data
from search.errors import StudyError
from search.evaluators.train import TrainEvaluator
from search.record.folder import StudyFolder
from search.space.members import draw_members
from tests.conftest import Refuse
from tests.search.config.test_checks import config_of


@pytest.fixture(scope="module")
def config(digits_settings: list[str], tmp_path_factory: pytest.TempPathFactory) -> RunConfig:
    results = tmp_path_factory.mktemp("results")
    return config_of(*digits_settings, f"results_dir={results}", "search.trials=3")


@pytest.fixture(scope="module")
def study(config: RunConfig) -> Study:
    return run(config)


@pytest.fixture
def copied(study: Study, tmp_path: Path) -> Path:
    """Its text files, to be damaged."""
    path = tmp_path / "results" / "main"
    path.mkdir(parents=True)
    for name in ("config.yaml", "trials.jsonl", "b0.yaml", "environment.json"):
        (path / name).write_bytes((study.path / name).read_bytes())
    return path


def test_a_search_says_nothing_and_returns_its_study(
    config: RunConfig, study: Study, capsys: pytest.CaptureFixture[str]
) -> None:
    again = run(config)  # nothing is left to do
    assert capsys.readouterr() == ("", "")
    assert again.path == study.path
    assert len(again.trials()) == 3


def test_status_names_b0_also_where_it_was_published(
    copied: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = yaml.safe_load((copied / "b0.yaml").read_text())
    assert "reference" not in content
    describe(StudyFolder(str(copied.parent), copied.name))
    assert f"B0: trial {content['trial']}, test accuracy" in capsys.readouterr().out
    published = {"trial": None, "reference": "tinynet_c: 2 of its strides taken out"}
    (copied / "b0.yaml").write_text(yaml.safe_dump(content | published))
    describe(StudyFolder(str(copied.parent), copied.name))
    assert "B0: tinynet_c, test accuracy" in capsys.readouterr().out


def test_whoever_asks_hears_what_goes_on(
    config: RunConfig, study: Study, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "compound_nas"):
        run(config)
    assert "1400 digits" not in caplog.text
    assert "going on with 3 candidates" in caplog.text
    assert f"report: {study.path / 'report.html'}" in caplog.text


def test_a_study_as_a_page(study: Study) -> None:
    path = study.path / "report.html"
    written = path.read_bytes()  # by the search, as the command does
    assert study.report() == path
    assert path.read_bytes() == written
    shown = path.read_text("utf-8")
    b0 = study.baseline
    assert f"The chosen B0 is trial {b0.trial}: it costs" in shown
    assert f"{b0.cost.params:,} parameters" in shown
    assert f"a test accuracy of {b0.metrics['test_accuracy']:.4f} after 2 epochs" in shown
    assert str(b0.arch) in shown


def test_what_a_study_shows(study: Study) -> None:
    loaded = Study.load(study.path)
    trials = loaded.trials()
    assert list(trials["trial"]) == [0, 1, 2] or len(trials) == 3
    assert {"arch", "val_accuracy", "macs", "flops_fvcore", "seconds", "stopped"} <= set(trials)
    assert not len(loaded.failures())
    front = loaded.front()
    assert list(front["macs"]) == sorted(front["macs"])
    assert list(front["val_accuracy"]) == sorted(front["val_accuracy"])
    best = trials.sort_values(["val_accuracy", "macs"], ascending=[False, True]).iloc[0]
    assert loaded.best is not None
    assert loaded.best.arch == best["arch"] == str(loaded.baseline.arch)
    assert loaded.config.search.trials == 3
    assert loaded.written == ["b0.yaml"]
    for text in (repr(loaded), loaded._repr_html_()):
        assert "3 of 3" in text
        assert str(study.path) in text
        assert best["arch"] in text.replace("&#x27;", "'")


def test_its_baseline_is_the_network_that_was_trained(study: Study, config: RunConfig) -> None:
    baseline = Study.load(study.path).baseline
    network = baseline.network()
    assert not network.training
    assert baseline.cost.params == sum(each.numel() for each in network.parameters())
    content = yaml.safe_load((study.path / "b0.yaml").read_text())
    assert baseline.metrics["test_accuracy"] == content["final"]["test_accuracy"]
    test = load_data(config.dataset, 8).test
    moments = content["normalisation"]
    mean, std = (torch.tensor(moments[name]).view(1, -1, 1, 1) for name in ("mean", "std"))
    with torch.no_grad():
        answers = network((test.images / 255 - mean) / std).argmax(1)
    reached = (answers == test.labels).float().mean().item()
    assert reached == pytest.approx(baseline.metrics["test_accuracy"], abs=0.006)


def test_an_open_study_holds_what_a_training_needs(study: Study, config: RunConfig) -> None:
    with Study.open(config, searching=False) as opened:
        assert isinstance(opened.config, SettledConfig)
        assert opened.config.workers.count == 2
        assert opened.objective.aim == "pareto"
        assert len(opened.data.train) + len(opened.data.val) == 1400
        assert len(draw_members(opened.members, 3, seed=0)) == 3
        with pytest.raises(StudyError, match="in use by process"), Study.open(config):
            pass
        # A training takes settings that are settled; the type says so.
        with TrainEvaluator(opened.data, opened.config.training, opened.config.workers):
            pass
    with Study.reopen(config.results_dir, config.study) as opened:
        assert opened.baseline.arch == study.baseline.arch


def test_settled_settings_leave_nothing_open() -> None:
    with pytest.raises(ValueError, match="count=0"):
        SettledWorkers(0)
    with pytest.raises(ValueError, match="device=auto"):
        SettledWorkers(1, device="auto")
    with pytest.raises(ValueError, match="precision=auto"):
        SettledProxy(precision="auto")
    settled = SettledConfig.of(config_of("proxy.epochs=7"), 3, "cpu", "bf16")
    assert (settled.proxy.epochs, settled.training.precision) == (7, "bf16")
    assert changed(settled, {"proxy.epochs": 8}).workers == SettledWorkers(3)


def test_no_study(study: Study, tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"no study 'mian' in .*; it holds main \(did you mean"):
        Study.load(study.path.parent / "mian")
    with pytest.raises(StudyError, match="no study 'nowhere'"):
        Study.load(tmp_path / "nowhere")


def test_a_study_half_done(copied: Path) -> None:
    (copied / "b0.yaml").unlink()
    study = Study.load(copied)
    assert "3 of 3" in repr(study)
    for name, wanted in (
        ("baseline", "no b0.yaml; finish its search first"),
        ("coefficients", "no coefficients.yaml; fit them first"),
    ):
        with pytest.raises(StudyError, match=wanted):
            getattr(study, name)
    with pytest.raises(StudyError, match="no family yet; write it first"):
        study.family()
    (copied / "trials.jsonl").unlink()
    study = Study.load(copied)
    assert "0 of 3" in repr(study)
    assert study.best is None
    assert not len(study.trials())
    with pytest.raises(StudyError, match="no completed trial yet"):
        study.front()


def test_a_study_by_a_newer_version(copied: Path) -> None:
    before = (copied / "config.yaml").read_text()
    (copied / "config.yaml").write_text(before + "telescope: 3\n")
    with pytest.raises(StudyError, match=r"config.yaml .*telescope.* newer version") as refused:
        Study.load(copied)
    assert "\n" not in str(refused.value)
    (copied / "config.yaml").write_text(before)
    lines = (copied / "trials.jsonl").read_text().splitlines()
    first = {**json.loads(lines[0]), "aura": 1}
    (copied / "trials.jsonl").write_text("\n".join([json.dumps(first), *lines[1:]]) + "\n")
    with pytest.raises(StudyError, match=r"trials.jsonl line 1 .*aura.* newer version"):
        Study.load(copied)


@pytest.mark.parametrize("content", ["- 1\n", "seed: x\n", "{", "", "\0"])
def test_a_damaged_configuration(copied: Path, content: str) -> None:
    (copied / "config.yaml").write_text(content)
    with pytest.raises(StudyError, match=r"config\.yaml") as refused:
        Study.load(copied)
    assert "\n" not in str(refused.value)


def test_scores_are_of_the_folder_that_was_named(copied: Path, refuse: Refuse) -> None:
    # Its config.yaml still says where the study was made.
    said = refuse("search", "scores", "study=main", f"results_dir={copied.parent}")
    assert f"{copied} has 3 trained architectures; expected 5 or more" in said
