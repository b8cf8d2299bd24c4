"""The real loop with simulated workers: whatever happens to machines, disks and clocks, the trials
are the same."""

import datetime
import itertools
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from optuna.storages.journal import JournalFileBackend

from blocks.arch import square
from search.config.change import changed
from search.config.face import config_from
from search.config.schema import RunConfig
from search.record.folder import StudyFolder
from search.record.trials import Record
from search.space.budget import cost_budget
from search.space.choices import build_space
from search.space.members import SpaceCandidates
from search.study import loop
from tests.faults.conftest import Remount


def config_of(results: Path, study: str, **settings: Any) -> RunConfig:
    settings = {
        "sampler": "tpe", "workers.count": 4, "search.pruner": "asha", "search.trials": 16,
        **settings,
    }  # fmt: skip
    return config_from(
        study=study, results_dir=str(results), objective="loss", space="tiny",
        **{"budget.max_macs": "100M", "proxy.epochs": 4, "search.min_epochs": 1,
           "search.reduction_factor": 2, "workers.device": "cpu", **settings},
    )  # fmt: skip


def run(config: RunConfig, **cluster: Any) -> StudyFolder:
    from simulated_workers import CLASSES, Cluster, run_simulated, workers_of

    budget = cost_budget(config)
    space = build_space(config.space, square(28), 1, CLASSES, budget)
    cluster = {"slowness": workers_of(config.workers.count), **cluster}
    members = SpaceCandidates(space, budget, CLASSES)
    return run_simulated(config, members, Path(config.results_dir), Cluster(**cluster))[2]


def table(folder: StudyFolder) -> list[tuple[object, ...]]:
    return [
        (r.number, r.arch, r.seed, tuple(r.fidelity.items()), tuple(r.metrics.items()))
        for r in folder.trained()
    ]


@pytest.mark.parametrize("ahead", [0, 5])
def test_the_proposals_are_the_same_however_quick_each_worker_is(
    tmp_path: Path, ahead: int
) -> None:
    clusters: list[dict[str, Any]] = [
        {"spread": 0.0},
        {"spread": 1.5, "slowness": (10.0, 1.0, 1.0, 0.5), "seed": 3},
        {"dead": 2, "death_seconds": 70.0},
    ]
    found = []
    for number, cluster in enumerate(clusters):
        config = config_of(tmp_path, str(number), **{"workers.ahead": ahead})
        found.append(table(run(config, **cluster)))
    assert found[0] == found[1] == found[2]
    assert len(found[0]) == 16


def test_what_is_proposed_depends_on_how_many_are_in_flight(tmp_path: Path) -> None:
    four = table(run(config_of(tmp_path, "four")))
    ahead = table(run(config_of(tmp_path, "ahead", **{"workers.ahead": 4})))
    eight = table(run(config_of(tmp_path, "eight", **{"workers.count": 8})))
    assert four != eight != ahead != four


def test_one_worker_or_eight_train_each_network_alike(tmp_path: Path) -> None:
    """The same job, and so the same weights: its seed is the network's."""
    found = [
        run(config_of(tmp_path, str(count), **{"workers.count": count, "sampler": "random",
                                               "search.pruner": "none"}))
        for count in (1, 8)
    ]  # fmt: skip
    one, eight = ({r.arch: (r.seed, r.metrics) for r in each.trained()} for each in found)
    assert one == eight


def test_those_ahead_are_what_quick_workers_train_meanwhile(tmp_path: Path) -> None:
    from simulated_workers import CLASSES, Cluster, run_simulated, workers_of

    idle = []
    for ahead in (0, 36):
        config = config_of(
            tmp_path, str(ahead),
            **{"workers.ahead": ahead, "sampler": "random", "search.pruner": "none",
               "search.trials": 48},
        )  # fmt: skip
        budget = cost_budget(config)
        space = build_space(config.space, square(28), 1, CLASSES, budget)
        _, found, _ = run_simulated(
            config, SpaceCandidates(space, budget, CLASSES), tmp_path, Cluster(workers_of(4, 1))
        )
        idle.append(found.idle_share)
    assert idle[1] < 0.1 < 0.4 < idle[0]


class Torn(BaseException):
    """The machine goes out."""


def torn_journal(self: JournalFileBackend, logs: list[dict[str, Any]]) -> None:
    import json

    lines = b"".join(json.dumps(log, separators=(",", ":")).encode() + b"\n" for log in logs)
    with open(self._file_path, "ab") as file:
        file.write(lines[: len(lines) // 2 + 1])
    raise Torn


def torn_record(path: Path, record: Record) -> None:
    from search.record.trials import append_record

    append_record(path, record)
    os.truncate(path, path.stat().st_size - 40)
    raise Torn


def failing_at(call: int, real: Callable[..., Any], fault: Callable[..., Any]) -> Any:
    """`real`, but the call of this number is `fault`."""
    calls = itertools.count(1)

    def wrapped(*arguments: Any, **options: Any) -> Any:
        return (fault if next(calls) == call else real)(*arguments, **options)

    return wrapped


def test_a_kill_after_a_trial_was_told_leaves_no_checkpoint(tmp_path: Path) -> None:
    """What the soak found: such a trial is never looked at again."""
    config = config_of(tmp_path, "left")
    folder = run(config)
    for name in ("3.pt", ".3.pt.partial"):
        (folder / "checkpoints" / name).write_bytes(b"of a trial that has ended")
    run(config)
    assert list((folder / "checkpoints").iterdir()) == []


@pytest.mark.parametrize("what", ["journal", "record"])
def test_torn_tails_cost_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    whole = table(run(config_of(tmp_path, "whole")))
    config = config_of(tmp_path, "torn")
    for call in (1, 40) if what == "journal" else (1, 6):
        with monkeypatch.context() as patch:
            if what == "journal":
                wrapped = failing_at(call, JournalFileBackend.append_logs, torn_journal)
                patch.setattr(JournalFileBackend, "append_logs", wrapped)
            else:
                patch.setattr(
                    loop, "append_record", failing_at(call, loop.append_record, torn_record)
                )
            with pytest.raises(Torn):
                run(config)
    assert table(run(config)) == whole


def test_a_full_disk_costs_nothing(tmp_path: Path, small_disk: tuple[Path, Remount]) -> None:
    disk, remount = small_disk
    whole = table(run(config_of(tmp_path, "whole")))
    config = config_of(disk, "full")
    for kib in (16, 64):
        remount(f"size={kib}k")
        with pytest.raises(OSError, match="No space left"):
            run(config)
    remount("size=64m")
    assert table(run(config)) == whole


def test_a_disk_that_turns_read_only_costs_nothing(
    tmp_path: Path, small_disk: tuple[Path, Remount], monkeypatch: pytest.MonkeyPatch
) -> None:
    disk, remount = small_disk
    whole = table(run(config_of(tmp_path, "whole")))
    config = config_of(disk, "kept")

    def turn(path: Path, record: Record) -> None:
        remount("ro")
        real(path, record)

    real = loop.append_record
    with monkeypatch.context() as patch:
        patch.setattr(loop, "append_record", failing_at(5, real, turn))
        with pytest.raises(OSError, match="Read-only file system"):
            run(config)
    with pytest.raises(OSError, match="Read-only file system"):
        run(config)
    remount("rw")
    assert table(run(config)) == whole


def test_a_clock_that_jumps_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A day back, a year on, at every look at it."""
    whole = table(run(config_of(tmp_path, "whole")))
    jumps = itertools.cycle([0.0, -86_400.0, 3e7, -3e7])
    real = time.time

    class Jumping(datetime.datetime):
        @classmethod
        def now(cls, tz: datetime.tzinfo | None = None) -> "datetime.datetime":
            return datetime.datetime.fromtimestamp(real() + next(jumps), tz)

    monkeypatch.setattr(time, "time", lambda: real() + next(jumps))
    monkeypatch.setattr("optuna.storages.journal._storage.datetime", Jumping)
    config = config_of(tmp_path, "jumping")
    config = changed(config, {"search.minutes": 1e6})
    assert table(run(config)) == whole
