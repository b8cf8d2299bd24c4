"""Where jobs run: the same trials everywhere, and nothing lost with a worker."""

import os
import signal
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch

from blocks.latency.device import torch_threads
from search.config.change import changed
from search.config.places import RayConfig, SlurmConfig, Where
from search.config.schema import RunConfig
from search.config.settled import SettledWorkers
from search.data.datasets import load_data
from search.data.splits import ImageData
from search.errors import ConfigError, StudyError, TrainingError
from search.evaluators.executors.on_slurm import _preempts
from search.evaluators.executors.packing import pack, read_packed, unpack, write_packed
from search.evaluators.executors.paths import anywhere
from search.evaluators.pool import WorkerPool
from search.evaluators.train import Job, TrainEvaluator, outcome, run_job
from tests.conftest import Refuse
from tests.search.config.test_checks import config_of
from tests.search.study.test_loop import run_loop, what

LONG = Job("r8-i1-s8-[ds_r1_k3_s1_e1_c8]-h16", 20, seed=0)
LOCAL = SlurmConfig(cluster="local")


@pytest.fixture(scope="module")
def data(digits: Path) -> ImageData:
    return load_data(config_of("dataset=npz", f"dataset.root={digits}").dataset, 8)


@pytest.fixture
def config(digits_settings: list[str]) -> RunConfig:
    return config_of(*digits_settings)


def test_packed_tensors_are_views_of_one_copy(data: ImageData, tmp_path: Path) -> None:
    work = partial(run_job, data=data, shared=(data.train.images[5:], data.train.images[:7]))
    head, storages = pack(work)
    images = data.train.images
    parts = [data.train, data.val, data.test]
    once = sum(each.images.nbytes + each.labels.nbytes for each in parts)
    assert sum(each.size for each in storages) == once
    assert len(head) < 10_000
    write_packed(tmp_path / "work.bin", work)
    for found in (unpack(head, storages), read_packed(tmp_path / "work.bin")):
        assert torch.equal(found.keywords["data"].train.images, images)
        assert found.keywords["data"].train.images.stride() == images.stride()
        assert torch.equal(found.keywords["shared"][0], images[5:])
        one, other = found.keywords["shared"]
        assert one.untyped_storage().data_ptr() == other.untyped_storage().data_ptr()
    # What Ray lends to a process is read-only.
    lent = [np.frombuffer(each.tobytes(), np.uint8) for each in storages]
    assert torch.equal(unpack(head, lent).keywords["data"].val.labels, data.val.labels)


def test_a_job_elsewhere_has_whole_paths(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    job = anywhere(Job("r8", 1, 0, save="results/x.pt"))
    assert job == Job("r8", 1, 0, save=str(tmp_path / "results" / "x.pt"))
    assert anywhere(3) == 3


@pytest.mark.parametrize(
    ("executor", "package", "extra"),
    [("ray", "ray", "[ray]"), ("submitit", "submitit", "[slurm]")],
)
def test_a_missing_extra_is_one_line(
    monkeypatch: pytest.MonkeyPatch, refuse: Refuse, digits_settings: list[str],
    executor: str, package: str, extra: str,
) -> None:  # fmt: skip
    monkeypatch.setitem(sys.modules, package, None)
    given = [*digits_settings, f"executor={executor}", "slurm.cluster=local"]
    line = refuse("search", "run", *given)
    assert f"executor={executor} needs the package {package}" in line
    assert f"compound-nas{extra}" in line


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["executor=dask"], "executor=dask is unknown; expected one of processes, ray, submitit"),
        (["executor=submitit"], "workers.count=0 is too small"),
        (["slurm.cluster=pbs"], "slurm.cluster=pbs is unknown"),
        (["ray.retries=-1"], "ray.retries=-1 is too small"),
        (["workers.device=cuda:x"], "workers.device=cuda:x is unknown"),
        (["workers.device=gpu"], "workers.device=gpu is unknown"),
        (["workers.device=cuda:1", "executor=ray"], "which executor=ray does not choose"),
        (["workers.minutes=0"], "workers.minutes=0.0 is not a positive number"),
        (["workers.memory=much"], "workers.memory=much is not a quantity"),
    ],
)
def test_what_no_executor_can_do_is_refused(refuse: Refuse, given: list[str], said: str) -> None:
    assert said in refuse("search", "run", *given)


def test_slurm_is_asked_for_where_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("submitit")
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ConfigError, match="there is no sbatch here"):
        WorkerPool(abs, SettledWorkers(1), Where("submitit"))


# Real clusters


@pytest.fixture(scope="module")
def ray() -> Iterator[Any]:
    """A Ray of two cores, as `executor=ray` starts one."""
    pytest.importorskip("ray")
    from search.evaluators.executors.on_ray import connect

    found, _ = connect(RayConfig(), 2, 0)
    yield found
    found.shutdown()


def slowly(job: float, extra: object = None) -> int:
    time.sleep(job)
    return os.getpid()


class Unreadable:
    """What another process stumbles over."""

    def __reduce__(self) -> tuple[type[int], tuple[str]]:
        return int, ("no number",)


@pytest.mark.slow
def test_the_trials_are_the_same_wherever_they_run(
    config: RunConfig, data: ImageData, tmp_path: Path, ray: Any
) -> None:
    config = changed(config, {"search.trials": 8, "sampler": "tpe"})
    tables = {}
    for executor in ("processes", "ray", "submitit"):
        named = changed(config, {"study": executor})
        where = Where(executor, slurm=LOCAL, folder=tmp_path / executor / "workers")
        with TrainEvaluator(data, config.training, config.workers, where=where) as evaluator:
            _, folder, _ = run_loop(named, data, tmp_path, evaluator)
        tables[executor] = what(folder.completed())
        assert not (folder.path / "workers").exists()
    assert len(tables["processes"]) == 8
    assert tables["ray"] == tables["processes"]
    assert tables["submitit"] == tables["processes"]


@pytest.mark.slow
def test_ray_listens_to_this_machine_alone(ray: Any) -> None:
    own = psutil.Process()
    listening = [
        each.laddr.ip
        for process in [own, *own.children(recursive=True)]
        for each in process.net_connections("tcp")
        if each.status == psutil.CONN_LISTEN and "127.0.0.1" not in each.laddr.ip
    ]
    assert listening == []
    with WorkerPool(abs, SettledWorkers(1), Where("ray")) as pool:
        assert pool.evaluate(-3).result(60) == 3


def busy(name: str) -> list[psutil.Process]:
    children = psutil.Process().children(recursive=True)
    return [each for each in children if name in " ".join(each.cmdline())]


def kill_one(name: str) -> None:
    """Kill -9 the first such process, once it is at work."""
    until = time.monotonic() + 120
    while time.monotonic() < until:
        if found := busy(name):
            time.sleep(0.2)
            found[0].send_signal(signal.SIGKILL)
            return
        time.sleep(0.05)
    pytest.fail(f"no {name}")


@pytest.mark.slow
def test_a_ray_worker_that_is_killed_costs_nothing_but_time(
    config: RunConfig, data: ImageData, ray: Any
) -> None:
    with torch_threads(1):
        expected = run_job(LONG, data, config.training).metrics
    workers = SettledWorkers(1)
    with TrainEvaluator(data, config.training, workers, where=Where("ray")) as evaluator:
        future = evaluator.evaluate(LONG)
        kill_one("ray::_run")
        assert outcome(evaluator, LONG, future).metrics == expected
    # Where it is not to be tried again, it is a failure of a kind of its own.
    once = Where("ray", RayConfig(retries=0))
    with WorkerPool(slowly, workers, once) as pool:
        future = pool.evaluate(60.0)
        kill_one("ray::_run")
        with pytest.raises(TrainingError, match="the training process died") as caught:
            future.result(60)
        assert caught.value.kind == "killed"
    with WorkerPool(slowly, workers, once) as pool:
        waiting = pool.evaluate(600.0)
        pool.close(at_once=True)  # as Ctrl-C does
        with pytest.raises(TrainingError):
            waiting.result(60)


def kill_taker(folder: Path, pid: int, by: signal.Signals) -> None:
    """End a worker of Slurm, once it has taken a job."""
    until = time.monotonic() + 60
    while not list(folder.glob("*/taken/*")):
        assert time.monotonic() < until
        time.sleep(0.05)
    os.kill(pid, by)


@pytest.mark.slow
def test_a_worker_of_slurm_that_is_killed_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "workers"
    # The first signal is Slurm's: the time of the job is over, or somebody else needs the node.
    # It is USR2 unless SUBMITIT_PREEMPT_SIGNAL says another, which submitit reads once.
    assert _preempts() == signal.SIGUSR2
    monkeypatch.setattr("submitit.core.job_environment.JobEnvironment.USR_SIG", "USR1")
    for retries, by in ((1, signal.SIGUSR1), (0, signal.SIGKILL)):
        where = Where("submitit", slurm=SlurmConfig("local", retries=retries), folder=folder)
        with WorkerPool(slowly, SettledWorkers(1), where) as pool:
            first = pool.evaluate(0.0).result(300)
            future = pool.evaluate(3.0)
            kill_taker(folder, first, by)
            if retries:
                assert future.result(300) != first
                continue
            with pytest.raises(TrainingError, match="its worker died 1 times") as caught:
                future.result(300)
            assert caught.value.kind == "killed"
        assert not folder.exists()


@pytest.mark.slow
def test_workers_that_cannot_begin_end_the_search(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They fail before they take anything: nobody waits for them for ever."""
    monkeypatch.setattr("search.evaluators.executors.on_slurm.IDLE_DEATHS", 1)
    where = Where("submitit", slurm=LOCAL, folder=tmp_path / "w")
    with (
        WorkerPool(partial(slowly, extra=Unreadable()), SettledWorkers(1), where) as pool,
        pytest.raises(StudyError, match="the workers end before they train"),
    ):
        pool.evaluate(0.0).result(300)
