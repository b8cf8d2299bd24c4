"""What is on disk survives what happens to disks."""

import json
import math
import os
import resource
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import yaml

from blocks.cost import Cost
from search.config.change import changed
from search.config.schema import RunConfig, StageConfig
from search.errors import StudyError
from search.record.folder import StudyFolder, StudyLock
from search.record.trials import (
    FailureRecord,
    TrialRecord,
    append_record,
    cut_torn_line,
    derive_seed,
    read_records,
)
from tests.search.config.test_checks import config_of

TRIAL = TrialRecord(
    3, "r8-…", Cost(1, 2, 3, 4), {"val_accuracy": 0.5}, 7, {"epochs": 1}, {"train": 0.1}, {}
)
FAILURE = FailureRecord(4, "r8-…", "nan", "the loss became nan")


def test_records_come_back(tmp_path: Path) -> None:
    path = tmp_path / "trials.jsonl"
    for record in (TRIAL, FAILURE):
        append_record(path, record)
    assert read_records(path) == [TRIAL, FAILURE]


def test_a_torn_last_line_is_no_record_and_is_cut(tmp_path: Path) -> None:
    path = tmp_path / "trials.jsonl"
    append_record(path, TRIAL)
    whole = path.read_bytes()
    path.write_bytes(whole + whole[: len(whole) // 2])
    assert read_records(path) == [TRIAL]
    cut_torn_line(path)
    assert path.read_bytes() == whole
    append_record(path, FAILURE)
    assert read_records(path) == [TRIAL, FAILURE]


def test_a_disk_that_fills_in_the_middle_of_a_line_leaves_whole_lines(tmp_path: Path) -> None:
    path = tmp_path / "trials.jsonl"
    append_record(path, TRIAL)
    whole = path.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    for room in (1, 20, len(whole) - 1):
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(whole) + room, hard))
        try:
            with pytest.raises(OSError, match=r"large|space"):
                append_record(path, TRIAL)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert path.read_bytes() == whole


def test_not_a_number_is_no_record(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        append_record(tmp_path / "trials.jsonl", replace(TRIAL, metrics={"x": math.nan}))


def test_an_empty_configuration_is_not_the_default_one(tmp_path: Path) -> None:
    folder = StudyFolder(str(tmp_path), "s")
    folder.write("config.yaml", "")
    with pytest.raises(StudyError, match="is empty"):
        folder.read_config()


def test_a_study_from_before_a_setting_is_as_it_was(tmp_path: Path) -> None:
    """One that began before images could grow goes on at full size, whatever is asked for now."""
    folder = StudyFolder(str(tmp_path), "old")
    old = config_of("proxy.start_resolution=1", "proxy.precision=fp32", "workers.device=cpu")
    folder.open(old)
    content = yaml.safe_load((folder / "config.yaml").read_text())
    del content["proxy"]["start_resolution"], content["proxy"]["precision"]
    del content["workers"]["device"]
    (folder / "config.yaml").write_text(yaml.safe_dump(content))
    assert folder.read_config() == old
    with pytest.raises(StudyError, match=r"proxy\.start_resolution 1\.0 → 0\.5"):
        folder.open(changed(old, {"proxy.start_resolution": 0.5}))
    folder.open(old)


def test_the_same_budget_may_be_spelt_otherwise(tmp_path: Path) -> None:
    folder = StudyFolder(str(tmp_path), "s")
    config = changed(RunConfig(), {"budget.max_macs": "2M"})
    folder.open(config)
    config = changed(config, {"budget.max_macs": 2_000_000, "dataset.root": "/elsewhere"})
    folder.open(config)


def test_defaults_may_be_written_out(tmp_path: Path) -> None:
    folder = StudyFolder(str(tmp_path), "s")
    folder.open(RunConfig())
    written = {"budget.target": "1M", "search.pruner": "asha", "search.min_epochs": 4}
    folder.open(changed(RunConfig(), {**written, "objective": "loss"}))
    folder.open(changed(RunConfig(), {"search.metric": "loss"}))
    with pytest.raises(StudyError, match=r"search\.metric 'accuracy' → 'macro_f1'"):
        folder.open(changed(RunConfig(), {"search.metric": "macro_f1", "objective": "loss"}))


def test_a_damaged_line_is_named(tmp_path: Path) -> None:
    path = tmp_path / "trials.jsonl"
    append_record(path, TRIAL)
    path.write_bytes(path.read_bytes() + b'{"number": 1}\n')
    with pytest.raises(StudyError, match="line 2 is not a record"):
        read_records(path)


def test_seeds_follow_from_what_they_are_for() -> None:
    seed = derive_seed(0, "arch", {"epochs": 5}, 0)
    assert seed == derive_seed(0, "arch", {"epochs": 5}, 0)
    others = {
        derive_seed(1, "arch", {"epochs": 5}, 0),
        derive_seed(0, "arc", {"epochs": 5}, 0),
        derive_seed(0, "arch", {"epochs": 6}, 0),
        derive_seed(0, "arch", {"epochs": 5}, 1),
    }
    assert len(others | {seed}) == 5
    assert 0 <= seed < 2**63


def test_a_study_refuses_another_configuration_and_names_the_difference(tmp_path: Path) -> None:
    folder = StudyFolder(str(tmp_path), "s")
    settings = {"search.pruner": "none", "proxy.epochs": 12, "space.stages": [StageConfig()]}
    config = changed(RunConfig(), settings)
    folder.open(config)
    assert folder.read_config() == config
    config = changed(config, {"search.trials": 99})  # how long to search steers no trial
    folder.open(config)
    config = changed(config, {"proxy.epochs": 9})
    config = changed(config, {"space.stages": [StageConfig(channels=24)]})
    message = r"proxy.epochs 12 → 9; space.stages\[1\].channels 16 → 24"
    with pytest.raises(StudyError, match=message):
        folder.open(config)
    assert folder.read_config().proxy.epochs == 12


def test_a_missing_study_names_the_nearest(tmp_path: Path) -> None:
    StudyFolder(str(tmp_path), "flowers").open(RunConfig())
    with pytest.raises(StudyError, match=r"no study 'flower' .*\(did you mean 'flowers'\?\)"):
        StudyFolder(str(tmp_path), "flower").require()


def test_one_process_per_study(tmp_path: Path) -> None:
    folder = StudyFolder(str(tmp_path), "s")
    with StudyLock(folder), pytest.raises(StudyError, match=f"in use by process {os.getpid()}"):
        StudyLock(folder).__enter__()
    with StudyLock(folder):
        pass


def test_writing_is_whole_or_not_at_all(tmp_path: Path) -> None:
    folder = StudyFolder(str(tmp_path), "s")
    folder.write("a.yaml", "old")
    with pytest.raises(UnicodeEncodeError):
        folder.write("a.yaml", "new \ud800")
    assert (folder / "a.yaml").read_text() == "old"


def test_a_renamed_study_says_its_old_name_and_how_to_go_on(tmp_path: Path) -> None:
    StudyFolder(str(tmp_path), "old").open(RunConfig(study="old"))
    os.rename(tmp_path / "old", tmp_path / "my new")
    with pytest.raises(StudyError, match=r"is the study 'old', renamed") as refused:
        StudyFolder(str(tmp_path), "my new").open(RunConfig(study="my new"))
    assert f"mv '{tmp_path}/my new' {tmp_path}/old, then study=old" in str(refused.value)


@pytest.mark.parametrize("text", ["2024_05_01", "null", "1e3", "${x}", "a: b", "é", "[x", "it's"])
def test_text_comes_back_from_a_stored_configuration(tmp_path: Path, text: str) -> None:
    config = changed(RunConfig(), {"dataset.root": text, "search.warm_start": text})
    folder = StudyFolder(str(tmp_path), "s")
    folder.open(config)
    assert folder.read_config() == config


@pytest.mark.parametrize(
    ("name", "value"), [("macs", 10**400), ("macs", 0), ("params", -1), ("activations", 2**63)]
)
def test_costs_that_no_network_has_are_no_record(tmp_path: Path, name: str, value: int) -> None:
    line = asdict(TRIAL)
    line["cost"][name] = value
    (tmp_path / "t.jsonl").write_text(json.dumps(line) + "\n")
    with pytest.raises(StudyError, match=rf"line 1 is not a record: cost\.{name} is .*expected"):
        read_records(tmp_path / "t.jsonl")
