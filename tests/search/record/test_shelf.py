"""Studies on disk: listed, archived and brought back, exported, deleted."""

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from blocks.cost import Cost
from search.__main__ import main
from search.config.change import changed
from search.errors import StudyError
from search.record.archive import archive, restore
from search.record.folder import StudyFolder, StudyLock
from search.record.shelf import studies
from search.record.trials import FailureRecord, TrialRecord, append_record
from search.study.study import Study
from tests.conftest import Refuse
from tests.search.config.test_checks import config_of

ARCH = "r8-i1-s8-[ds_r1_k3_s1_e1_c8]-h16"


def made(home: Path, name: str, accuracy: float = 0.5) -> StudyFolder:
    """A study of two trials, of which one failed."""
    folder = StudyFolder(str(home), name)
    folder.open(changed(config_of(), {"study": name, "results_dir": str(home), "search.trials": 3}))
    metrics = {"val_accuracy": accuracy, "val_loss": 1.25, "train_loss": 2.0}
    cost = Cost(100, 2000, 4100, 300)
    append_record(
        folder.trials, TrialRecord(0, ARCH, cost, metrics, 7, {"epochs": 1}, {"train": 1.5}, {})
    )
    append_record(folder.trials, FailureRecord(1, ARCH, "oom", "too much", ("a line",), cost))
    (folder.path / "finals").mkdir()
    (folder / "finals/b0.pt").write_bytes(bytes(5000))
    return folder


def test_all_are_listed_and_damaged_ones_as_such(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made(tmp_path, "pets")
    (made(tmp_path, "torn") / "config.yaml").write_text("- no settings\n")
    (made(tmp_path, "lost") / "config.yaml").unlink()
    (made(tmp_path, "odd") / "trials.jsonl").write_text("[1]\n")
    (tmp_path / "notes").mkdir()
    with StudyLock(made(tmp_path, "busy", 0.75)):
        found = {each.name: each for each in studies(str(tmp_path))}
        main(["ls", f"results_dir={tmp_path}"])
    assert list(found) == ["busy", "lost", "odd", "pets", "torn"]
    assert found["pets"].state == "stopped"
    assert (found["pets"].trials, found["pets"].asked) == (1, 3)
    assert 5000 < found["pets"].bytes < 20_000
    assert found["busy"].state == "running"
    assert "is not a mapping of settings" in found["torn"].why
    assert {found[name].state for name in ("torn", "lost", "odd")} == {"damaged"}
    said = capsys.readouterr().out
    assert "loss 1.25" in said
    assert "1 of 3" in said


def test_an_export_is_the_table_of_trials(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = made(tmp_path, "pets")
    main(["export", "study=pets", f"results_dir={tmp_path}"])
    table = pd.read_csv(io.StringIO(capsys.readouterr().out))
    pd.testing.assert_frame_equal(table, Study(folder).trials())
    failures = Study(folder).failures()
    assert failures["kind"].tolist() == ["oom"]


def test_an_archive_is_the_same_study_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = made(tmp_path / "results", "pets")
    before = {
        path.relative_to(folder.path): path.read_bytes()
        for path in folder.path.rglob("*")
        if path.is_file()
    }
    (folder.path / "workers").mkdir()
    (folder / "workers/work.bin").write_bytes(b"of a process")
    main(["archive", "study=pets"])
    main(["restore", "file=pets.tar.gz", "results_dir=other"])
    assert "restored other/pets" in capsys.readouterr().out
    found = tmp_path / "other" / "pets"
    after = {
        path.relative_to(found): path.read_bytes() for path in found.rglob("*") if path.is_file()
    }
    assert after == before
    assert Study.load(found).trials().equals(Study(folder).trials())
    with pytest.raises(StudyError, match="is there already"):
        restore(tmp_path / "pets.tar.gz", "other")
    main(["rm", "study=pets", "results_dir=other"])
    assert list((tmp_path / "other").iterdir()) == []
    assert "deleted other/pets, " in capsys.readouterr().out


def rewritten(path: Path, target: Path, change: Any) -> Path:
    """An archive of which `change` has made others of the entries."""
    with tarfile.open(path) as old, tarfile.open(target, "w:gz") as new:
        for entry in old:
            content = old.extractfile(entry)
            assert content is not None
            for each, data in change(entry, content.read()):
                each.size = len(data) if each.isreg() else 0
                new.addfile(each, io.BytesIO(data))
    return target


def test_a_damaged_or_hostile_archive_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "pets.tar.gz"
    archive(made(tmp_path / "results", "pets"), path)
    home = tmp_path / "other"

    def flipped(entry: tarfile.TarInfo, data: bytes) -> Any:
        yield entry, data.replace(b"val_loss", b"val_loSs") if "trials" in entry.name else data

    def climbing(entry: tarfile.TarInfo, data: bytes) -> Any:
        yield entry, data
        if entry.name == "manifest.json":
            yield tarfile.TarInfo("study/../../evil"), b"x"

    def linked(entry: tarfile.TarInfo, data: bytes) -> Any:
        if "trials" in entry.name:
            entry.type, entry.linkname = tarfile.SYMTYPE, "/etc/passwd"
        yield entry, data

    def renamed(entry: tarfile.TarInfo, data: bytes) -> Any:
        if entry.name == "manifest.json":
            data = json.dumps({**json.loads(data), "study": "../evil"}).encode()
        yield entry, data

    def lacking(entry: tarfile.TarInfo, data: bytes) -> Any:
        if "trials" not in entry.name:
            yield entry, data

    cases = {
        flipped: "is not what was archived",
        climbing: "no file of its study",
        linked: "no file of its study",
        renamed: "is no archive of a study",
        lacking: "lacks trials.jsonl",
    }
    for change, said in cases.items():
        broken = rewritten(path, tmp_path / f"{change.__name__}.tar.gz", change)
        with pytest.raises(StudyError, match=said):
            restore(broken, str(home))
    cut = tmp_path / "cut.tar.gz"
    cut.write_bytes(path.read_bytes()[:-200])
    (tmp_path / "text.tar.gz").write_bytes(b"no archive")
    for broken in (cut, tmp_path / "text.tar.gz", tmp_path / "none.tar.gz"):
        with pytest.raises(StudyError):
            restore(broken, str(home))
    assert not home.exists() or list(home.iterdir()) == []
    assert not (tmp_path / "evil").exists()


def test_what_a_kill_left_behind_is_gone_after_the_next(tmp_path: Path) -> None:
    home = tmp_path / "results"
    archive(made(home, "pets"), tmp_path / "pets.tar.gz")
    for left in (".removed-cats-12345678", ".restored-12345678", ".restored-abcdefgh"):
        (home / left / "finals").mkdir(parents=True)
        (home / left / ".lock").touch()
    with StudyLock(StudyFolder(str(home), ".restored-abcdefgh")):  # of one that is at it
        main(["rm", "study=pets", f"results_dir={home}"])
        assert [each.name for each in home.iterdir()] == [".restored-abcdefgh"]
    restore(tmp_path / "pets.tar.gz", str(home))
    assert [each.name for each in home.iterdir()] == ["pets"]


def test_a_study_that_has_lost_its_settings_is_deleted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("lost", "torn"):
        made(tmp_path, name)
    (tmp_path / "lost/config.yaml").unlink()
    (tmp_path / "torn/config.yaml").write_text("- no settings")
    for name in ("lost", "torn"):
        main(["rm", f"study={name}", f"results_dir={tmp_path}"])
        assert f"deleted {tmp_path / name}, " in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", ["rm", "archive"])
def test_a_study_in_use_is_left_alone(tmp_path: Path, refuse: Refuse, command: str) -> None:
    with StudyLock(made(tmp_path, "busy")):
        said = refuse("search", command, "study=busy", f"results_dir={tmp_path}")
    assert "is in use by process" in said
    assert (tmp_path / "busy" / "config.yaml").exists()
    assert not (tmp_path / "busy.tar.gz").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["rm"], "expected study=NAME"),
        (["archive"], "expected study=NAME"),
        (["rm", "study=pet"], "did you mean 'pets'?"),
        (["rm", "study=../pets"], "study=../pets is not a folder name"),
        (["status", "study=../results/pets"], "is not a folder name"),
        (["export", "study=."], "is not a folder name"),
        (["status", "study=outside"], "is a link to "),
        (["rm", "study=outside"], "is a link to "),
        (["restore"], "expected file=NAME.tar.gz"),
        (["restore", "file=none.tar.gz"], "none.tar.gz: No such file"),
        (["ls", "results_dir=nowhere"], "there is no folder nowhere"),
        (["ls", "study=pets"], "expected results_dir"),
    ],
)
def test_no_name_leaves_the_results_folder(
    tmp_path: Path, refuse: Refuse, arguments: list[str], said: str
) -> None:
    made(tmp_path / "results", "pets")
    made(tmp_path / "elsewhere", "outside")
    (tmp_path / "results" / "outside").symlink_to(tmp_path / "elsewhere" / "outside")
    assert said in refuse("search", *arguments)
    assert (tmp_path / "elsewhere" / "outside" / "config.yaml").exists()


def test_a_link_within_the_results_is_a_study(tmp_path: Path) -> None:
    made(tmp_path, "pets")
    (tmp_path / "again").symlink_to(tmp_path / "pets")
    assert StudyFolder(str(tmp_path), "again").inside().require().read_config().study == "pets"
    with pytest.raises(StudyError, match="leads elsewhere"), StudyLock(StudyFolder("x", "../y")):
        pass


def test_a_link_is_not_deleted(tmp_path: Path, refuse: Refuse) -> None:
    made(tmp_path, "pets")
    (tmp_path / "again").symlink_to(tmp_path / "pets")
    said = refuse("search", "rm", "study=again", f"results_dir={tmp_path}")
    assert "expected the study itself" in said
    assert (tmp_path / "again").is_symlink()
    assert sorted(each.name for each in studies(str(tmp_path))) == ["again", "pets"]
