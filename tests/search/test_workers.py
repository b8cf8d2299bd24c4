"""How many trainings run side by side."""

import os
from pathlib import Path

from search.record import StudyFolder
from search.space import build_space
from search.workers import available_bytes, plan_workers, workers_for
from tests.search.test_config import config_of


def test_as_many_as_cores_and_memory_allow() -> None:
    cores = len(os.sched_getaffinity(0))
    assert workers_for(1, 1) == cores
    assert workers_for(cores, 1) == 1
    assert workers_for(2 * cores, 1) == 1
    free = available_bytes()
    assert free is not None
    assert workers_for(1, 2 * free) == 1
    assert workers_for(1, max(1, free // 2)) == min(cores, 2) or free != available_bytes()


def test_a_study_keeps_its_number(tmp_path: Path) -> None:
    config = config_of(f"results_dir={tmp_path}")
    space = build_space(config.space, 28, 1, 10, config.cost_budget)
    folder = StudyFolder(config.results_dir, config.study)
    planned = plan_workers(config, space, 10, folder)
    assert planned.workers.count >= 1
    assert plan_workers(config_of("workers.count=3"), space, 10, folder).workers.count == 3
    folder.open(config_of(f"results_dir={tmp_path}", "workers.count=5"))
    again = plan_workers(config, space, 10, folder)
    assert again.workers.count == 5
    folder.open(again)  # no difference
