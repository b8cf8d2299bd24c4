"""What one training may take, and what is said of one that took more, or died."""

import os
import platform
import signal
import time
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
import torch
from optuna.trial import TrialState

from blocks.errors import ArchError
from blocks.latency.device import torch_threads
from search.config.change import changed
from search.config.settled import SettledWorkers
from search.data.datasets import load_data
from search.errors import DataError, TrainingError
from search.evaluators.executors import processes, working
from search.evaluators.executors.working import Limits, attempt
from search.evaluators.pool import WorkerPool
from search.evaluators.train import Evaluation, Job, outcome, run_job
from search.evaluators.workers import workers_on_gpus
from search.record.trials import FailureRecord, read_records
from search.study.memory import open_study
from search.training.device import gpus, kind_of, resolve_device
from tests.search.config.test_checks import config_of
from tests.search.study.test_loop import InProcess, run_loop


def behave(job: str) -> Any:
    """A job that fails in the way that it is called by, or says its process."""
    if job == "grow":
        return torch.ones(2**28).sum().item()
    if job == "build":
        raise ArchError("no such block")
    if job == "data":
        raise DataError("no such image")
    if job == "die":
        os.write(2, b"the last words\n")
        os.kill(os.getpid(), signal.SIGKILL)
    if job == "hang":
        while True:
            time.sleep(0.1)
    return os.getpid()


@pytest.mark.parametrize(("job", "kind"), [("build", "build"), ("data", "data")])
def test_a_failure_says_its_kind_and_where(job: str, kind: str) -> None:
    with pytest.raises(TrainingError) as caught:
        attempt(behave, job, Limits())
    assert caught.value.kind == kind
    assert any("in behave" in line or "behave: raise" in line for line in caught.value.log)


def test_a_training_ends_with_its_time(digits: Path) -> None:
    config = config_of("dataset=npz", f"dataset.root={digits}", "proxy.resolution=8")
    data = load_data(config.dataset, 8)
    job = Job("r8-i1-s8-[ds_r1_k3_s1_e1_c8]-h16", 10_000, seed=0)
    with torch_threads(1), pytest.raises(TrainingError, match=r"workers\.minutes=0\.01") as caught:
        attempt(lambda each: run_job(each, data, config.training), job, Limits(minutes=0.01))
    assert caught.value.kind == "timeout"
    short = Job(job.arch, 1, seed=0)  # the next has its own time
    with torch_threads(1):
        assert attempt(lambda each: run_job(each, data, config.training), short, Limits())


@pytest.mark.slow
@pytest.mark.skipif(platform.system() != "Linux", reason="limits of memory are Linux's")
def test_a_worker_goes_on_after_a_job_of_too_much_memory() -> None:
    """And one that dies says its last words; what comes after it is done all the same."""
    with WorkerPool(behave, SettledWorkers(1, memory="300M")) as pool:
        first = pool.evaluate("fine").result()
        with pytest.raises(TrainingError, match="allocate memory") as caught:
            pool.evaluate("grow").result()
        assert caught.value.kind == "oom"
        assert pool.evaluate("fine").result() == first
        dying: Any = "die"
        with pytest.raises(TrainingError, match="the training process died") as caught:
            outcome(pool, dying, pool.evaluate("die"))  # type: ignore[arg-type]
        assert caught.value.kind == "killed"
        assert caught.value.log == ("the last words",)
        assert pool.evaluate("fine").result() != first


@pytest.mark.slow
def test_what_does_not_answer_is_ended_with_its_worker() -> None:
    with WorkerPool(hang_soon, SettledWorkers(1, minutes=0.005)) as pool:
        hanging: Any = "hang"
        with pytest.raises(TrainingError, match="nor did it answer") as caught:
            outcome(pool, hanging, pool.evaluate("hang"))  # type: ignore[arg-type]
    assert caught.value.kind == "timeout"
    assert any("behave" in line for line in caught.value.log)


def hang_soon(job: str) -> Any:
    """In a worker, where nothing is patched yet."""
    import faulthandler

    faulthandler.dump_traceback_later(0.5, exit=True)
    return behave(job)


class Failing(InProcess):
    """Fails every third job, by a kind that is its own fault, or not."""

    def __init__(self, kind: str, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.kind = kind

    def evaluate(self, job: Job) -> "Future[Evaluation]":
        if len(self.jobs) % 3 != 1:
            return super().evaluate(job)
        self.jobs.append(job)
        future: Future[Evaluation] = Future()
        future.set_exception(TrainingError(self.kind, "made to fail", ("a line",)))
        return future


@pytest.mark.parametrize("kind", ["oom", "node"])
def test_a_failed_candidate_teaches_what_it_cost(
    digits_settings: list[str], digits: Path, tmp_path: Path, kind: str
) -> None:
    config = config_of(*digits_settings, "sampler=tpe", "search.trials=3")
    data = load_data(config.dataset, 8)
    _, folder, evaluator = run_loop(config, data, tmp_path, Failing(kind, data, config))
    failures = [each for each in read_records(folder.trials) if isinstance(each, FailureRecord)]
    assert failures
    assert all(each.kind == kind and each.log == ("a line",) for each in failures)
    assert all(each.cost is not None and each.cost.macs <= 100_000 for each in failures)
    trials = {each.number: each for each in open_study(config, folder).get_trials()}
    for each in failures:
        told = trials[each.number]
        # What is no fault of its own says nothing of its like.
        expected = (TrialState.FAIL, {}) if kind == "node" else (TrialState.PRUNED, {"failed": 1.0})
        assert (told.state, dict(told.constraints)) == expected
    # Quarantine: it is not trained again, in this run or the next.
    archs = [job.arch for job in evaluator.jobs]
    assert len(set(archs)) == len(archs)
    again = InProcess(data, config)
    run_loop(changed(config, {"search.trials": 4}), data, tmp_path, again)
    assert not {each.arch for each in failures} & {job.arch for job in again.jobs}


# Devices that are not here


def test_workers_take_the_gpus_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen: list[int] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    monkeypatch.setattr(processes, "die_with", lambda parent: None)
    monkeypatch.setattr(processes, "_log_to", lambda path: None)
    for name in ("collect", "freeze"):
        monkeypatch.setattr(working.gc, name, lambda: None)
    handler = signal.getsignal(signal.SIGINT)
    started = processes.spawn_context().Value("i", 0)
    try:
        with torch_threads(torch.get_num_threads()):
            for device, expected in (("cuda", [0, 1, 2, 0, 1]), ("cuda:2", [2] * 5)):
                chosen.clear()
                started.value = 0
                for _ in range(5):
                    processes._start_worker(
                        behave, 1, gpus(device), started, Limits(), 0, False, Path("nowhere"), []
                    )
                assert chosen == expected
    finally:
        signal.signal(signal.SIGINT, handler)
    assert gpus("cpu") == ()
    assert [resolve_device(name) for name in ("auto", "cuda:2", "cpu")] == ["cuda", "cuda:2", "cpu"]
    assert kind_of("cuda:2") == "cuda"
    with pytest.raises(Exception, match=r"workers\.device=cuda:3 is not there.*cuda:0, cuda:1"):
        resolve_device("cuda:3")


def test_each_gpu_has_as_many_workers_as_the_fullest_allows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    free = {0: 70 * 2**30, 1: 25 * 2**30}
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda number: (free[number], 80 * 2**30))
    assert workers_on_gpus((0, 1), 10 * 2**30) == 4
    assert workers_on_gpus((0,), 10 * 2**30) == 7
    assert workers_on_gpus((0, 1), 100 * 2**30) == 2  # one at least on each
