"""One driver per study: on this machine, on another, and after one has died."""

import json
import os
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from search.config.take_over import FLAG, VARIABLE, read_take_over
from search.errors import StudyError
from search.record import lock
from search.record.folder import StudyFolder, StudyLock
from search.record.lock import LEASE, Lease, in_use, read_lease
from tests.conftest import environment


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StudyFolder:
    monkeypatch.setattr(lock, "WATCH", 0.4)
    monkeypatch.setattr(lock, "RENEW", 0.05)
    monkeypatch.setattr(lock, "POLL", 0.02)
    found = StudyFolder(str(tmp_path), "s")
    found.path.mkdir()
    return found


def held_elsewhere(folder: StudyFolder) -> Path:
    """The lease of a driver on another machine, where no lock of this one holds."""
    lease = Lease("1234", "node7", 4711, 1_700_000_000.0)
    (folder / LEASE).write_text(json.dumps(lease.__dict__))
    return folder / LEASE


def test_a_driver_that_was_killed_here_leaves_its_study_free(tmp_path: Path) -> None:
    folder = StudyFolder(str(tmp_path), "s")
    code = (
        "import sys, time; from search.record.folder import StudyFolder, StudyLock\n"
        f"with StudyLock(StudyFolder({str(tmp_path)!r}, 's')):\n"
        "    print('held', flush=True); time.sleep(60)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], env=environment(), stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "held\n"
        with pytest.raises(StudyError, match=f"in use by process {child.pid} on .*, since 20"):
            StudyLock(folder).__enter__()
        assert in_use(folder)
        child.kill()
    assert (folder / LEASE).exists()
    assert not in_use(folder)
    with StudyLock(folder):
        pass
    assert not (folder / LEASE).exists()


def test_a_driver_elsewhere_is_in_use_until_it_is_taken_over(
    folder: StudyFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    held_elsewhere(folder)
    assert in_use(folder)
    with pytest.raises(StudyError, match=r"process 4711 on node7, since 2023-11-1.*--take-over"):
        StudyLock(folder).__enter__()
    monkeypatch.setenv(VARIABLE, "1")
    with StudyLock(folder) as taken:
        found = read_lease(taken.lease)
        assert found is not None
        assert found[0].pid == os.getpid()
    assert [path.name for path in folder.path.iterdir()] == [".lock"]


def test_a_driver_elsewhere_that_is_alive_is_not_taken_over(
    folder: StudyFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, ended = held_elsewhere(folder), threading.Event()

    def touch() -> None:
        while not ended.wait(0.05):
            os.utime(path)

    thread = threading.Thread(target=touch)
    thread.start()
    monkeypatch.setenv(VARIABLE, "1")
    try:
        with pytest.raises(StudyError, match=r"node7, .*, which is alive"):
            StudyLock(folder).__enter__()
    finally:
        ended.set()
        thread.join()
    assert path.exists()


def test_of_two_that_take_over_one_does(
    folder: StudyFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without locks of the file system, as between two machines."""
    held_elsewhere(folder)
    monkeypatch.setenv(VARIABLE, "1")
    monkeypatch.setattr(StudyLock, "_lock", lambda self, file: False)
    got, refused, begin = [], [], threading.Barrier(8)

    def take(number: int) -> None:
        own = StudyLock(folder)
        own._own = replace(own._own, host=f"node{number}")
        begin.wait()
        try:
            own.__enter__()
        except StudyError as error:
            refused.append(str(error))
        else:
            got.append(own)

    threads = [threading.Thread(target=take, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(got), len(refused)) == (1, 7)
    got[0].check()
    got[0].__exit__(None, None, None)
    assert not (folder / LEASE).exists()


def test_a_driver_that_was_taken_over_writes_no_more(folder: StudyFolder) -> None:
    def search() -> None:
        with StudyLock(folder):
            held_elsewhere(folder)
            with pytest.raises(StudyError, match="was taken over"):
                folder.check_held()
            for _ in range(1000):  # its own thread ends it like Ctrl-C
                time.sleep(0.01)

    with pytest.raises(StudyError, match="was taken over by process 4711 on node7"):
        search()
    assert read_lease(folder / LEASE)


def test_a_torn_lease_and_one_that_was_deleted(folder: StudyFolder) -> None:
    with StudyLock(folder) as held:
        (folder / LEASE).unlink()
        folder.check_held()
        until = time.monotonic() + 20
        while (again := read_lease(folder / LEASE)) is None and time.monotonic() < until:
            time.sleep(0.01)
        assert again is not None  # written once more
        assert again[0] == held._own
    assert not (folder / LEASE).exists()
    (folder / LEASE).write_text('{"tok')
    with pytest.raises(StudyError, match="an unknown host"):
        StudyLock(folder).__enter__()


def test_the_flag_holds_for_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "")
    assert read_take_over(["run", FLAG, "study=a"]) == ["run", "study=a"]
    assert os.environ[VARIABLE] == "1"


def test_a_lease_is_written_again_where_there_are_no_links(
    folder: StudyFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError("no links here")

    monkeypatch.setattr(os, "link", refuse)
    with StudyLock(folder):
        for _ in range(20):
            (folder / LEASE).unlink(missing_ok=True)
            until = time.monotonic() + 20
            while read_lease(folder / LEASE) is None and time.monotonic() < until:
                folder.check_held()  # an empty one is being written, and is nobody's
            folder.check_held()
    assert not (folder / LEASE).exists()
