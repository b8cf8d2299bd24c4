"""Kills of real processes: of a driver and its workers at random moments, of a node of Ray."""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import pytest

from blocks.cost import Cost
from search.errors import TrainingError
from search.evaluators.train import Evaluation, Job, outcome
from search.record.trials import read_records
from tests.conftest import ROOT, environment
from tests.faults.soak import Search, settings, write_digits


@pytest.mark.slow
def test_a_search_that_is_killed_finds_what_one_left_alone_does() -> None:
    script = [sys.executable, "tests/faults/soak.py", "--kills", "3", "--trials", "8"]
    done = subprocess.run(
        [*script, "--workers", "1"], cwd=ROOT, env=environment(), capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 kills: all 8 trials, the front and B0 are the same" in done.stdout


@pytest.mark.slow
def test_sigterm_ends_with_everything_on_disk(tmp_path: Path) -> None:
    """As Slurm asks, before it takes a node away."""
    write_digits(tmp_path / "digits.npz")
    search = Search(tmp_path, "main", settings(tmp_path, 500, 0, 1))
    search.start()
    while search.lines() < 3:
        assert search.ended() is None
        time.sleep(0.05)
    workers = search.workers()
    assert workers
    assert search.process is not None
    os.kill(search.process.pid, signal.SIGTERM)
    assert search.wait(60) == 130
    said = search.errors.read_text()
    assert "the trials so far are on disk" in said
    assert "Traceback" not in said
    assert len(read_records(search.study / "trials.jsonl")) >= 3
    assert (search.study / "pareto.csv").exists()
    assert not any(each.is_running() for each in workers)


@pytest.mark.slow
def test_a_day_leaves_nothing_behind() -> None:
    """An hour of it, which the script's 24 are like."""
    done = subprocess.run(
        [sys.executable, "tests/faults/soak.py", "--hours", "1"], cwd=ROOT, env=environment(),
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "120 trials in" in done.stdout


@pytest.mark.slow
def test_a_node_of_ray_that_is_killed_costs_nothing_but_time() -> None:
    pytest.importorskip("ray")
    done = subprocess.run(
        [sys.executable, "tests/faults/ray_node.py"], cwd=ROOT, env=environment(),
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "all done" in done.stdout


class Dying:
    """An evaluator whose worker dies so many times before the job is done."""

    def __init__(self, deaths: int) -> None:
        self.deaths = deaths

    def evaluate(self, job: Job) -> "Future[Evaluation]":
        future: Future[Evaluation] = Future()
        self.deaths -= 1
        if self.deaths >= 0:
            future.set_exception(BrokenProcessPool())
        else:
            future.set_result(Evaluation(Cost(1, 2, 3, 4), {"val_loss": 1.0}, {}))
        return future


def test_a_worker_may_be_killed_three_times() -> None:
    """What 34 kills of a real search found: two within one training were its end."""
    job = Job("r8", 1, 0)
    for deaths in range(4):
        evaluator = Dying(deaths)
        found = outcome(evaluator, job, evaluator.evaluate(job))
        assert found.metrics == {"val_loss": 1.0}
    evaluator = Dying(4)
    with pytest.raises(TrainingError, match="died") as caught:
        outcome(evaluator, job, evaluator.evaluate(job))
    assert caught.value.kind == "killed"
