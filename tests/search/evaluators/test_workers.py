"""How many trainings run side by side, and what a process of theirs keeps."""

import os
import platform
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest
import torch

from search.config.change import changed
from search.config.places import WorkersConfig
from search.data.datasets import load_data
from search.evaluators import workers
from search.evaluators.pool import WorkerPool
from search.evaluators.workers import available_bytes, available_cores, plan_workers, workers_for
from search.record.folder import StudyFolder
from search.space.budget import cost_budget
from search.space.choices import build_space
from tests.search.config.test_checks import config_of

DATA = load_data(config_of().dataset, 28)


def test_as_many_as_cores_and_memory_allow() -> None:
    cores = available_cores()
    assert 1 <= cores <= len(os.sched_getaffinity(0))
    assert workers_for(1, 1) == cores
    assert workers_for(cores, 1) == 1
    assert workers_for(2 * cores, 1) == 1
    free = available_bytes()
    assert free is not None
    assert workers_for(1, 2 * free) == 1
    assert workers_for(1, max(1, free // 2)) == min(cores, 2) or free != available_bytes()


def test_a_container_has_what_its_control_group_allows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cores, free = available_cores(), available_bytes()
    assert free is not None
    own = tmp_path / "pod" / "box"
    own.mkdir(parents=True)
    monkeypatch.setattr(workers, "_control_groups", lambda: [own, own.parent, tmp_path])
    assert (available_cores(), available_bytes() or 0) == (cores, pytest.approx(free, rel=0.2))
    (own / "memory.max").write_text("max\n")
    (own / "memory.current").write_text("7000\n")
    (own.parent / "memory.max").write_text("10000\n")
    (own.parent / "memory.current").write_text("7000\n")
    assert available_bytes() == 3000
    (own.parent / "memory.stat").write_text("anon 10\ninactive_file 2000\n")
    assert available_bytes() == 5000
    (own / "cpu.max").write_text("max 100000\n")
    assert available_cores() == cores
    (own.parent / "cpu.max").write_text("100000 100000\n")
    assert available_cores() == 1


def test_groups_are_those_above_the_process(tmp_path: Path) -> None:
    found = workers._control_groups(tmp_path)
    assert not found or found[-1] == tmp_path


def test_images_at_other_resolutions_take_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "available_cores", lambda: 64)
    monkeypatch.setattr(workers, "available_bytes", lambda: 64 * 2**30)
    config = config_of("workers.device=cpu")
    few = build_space(config.space, 28, 1, 10, cost_budget(config))
    config = config_of("workers.device=cpu", "space.resolution=[28,256,512]")
    many = build_space(config.space, 28, 1, 10, cost_budget(config))
    counts = [plan_workers(config, space, DATA) for space in (few, many)]
    assert 1 <= counts[1] < counts[0] <= 64


def test_a_study_keeps_its_number(tmp_path: Path) -> None:
    config = config_of(f"results_dir={tmp_path}")
    space = build_space(config.space, 28, 1, 10, cost_budget(config))
    folder = StudyFolder(config.results_dir, config.study)
    planned = plan_workers(config, space, DATA, folder)
    assert planned >= 1
    assert plan_workers(config_of("workers.count=3"), space, DATA, folder) == 3
    folder.open(config_of(f"results_dir={tmp_path}", "workers.count=5"))
    again = plan_workers(config, space, DATA, folder)
    assert again == 5
    folder.open(changed(config, {"workers.count": again}))  # no difference


def lies_in_the_heap(job: int) -> bool:
    """Whether memory of a map of 30 MiB is part of the heap, which keeps what is freed."""
    address = torch.ones(30 * 2**18).data_ptr()
    maps = Path("/proc/self/maps").read_text().splitlines()
    heap = next(line for line in maps if "[heap]" in line)
    start, end = (int(each, 16) for each in heap.split()[0].split("-"))
    return start <= address < end


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_a_worker_keeps_the_memory_that_it_frees() -> None:
    with ProcessPoolExecutor(1, get_context("spawn")) as other:
        assert not other.submit(lies_in_the_heap, 0).result()
    with WorkerPool(lies_in_the_heap, WorkersConfig(1, 1)) as pool:
        assert pool.evaluate(0).result()
