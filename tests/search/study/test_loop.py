"""The loop on real digits: budget, duplicates, failures, determinism, resume."""

import contextlib
import json
import os
import signal
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
import torch
from optuna.trial import Trial, TrialState

from blocks.arch import format_arch, parse_arch
from blocks.cost import count
from search.benchmark.table import read_table
from search.config.change import changed
from search.config.schema import RunConfig
from search.data.datasets import load_data
from search.data.splits import ImageData
from search.errors import ConfigError, StudyError, TrainingError
from search.evaluators.table import TableEvaluator
from search.evaluators.train import Evaluation, Job, TrainEvaluator, make_job, outcome, run_job
from search.record.folder import StudyFolder
from search.record.trials import FailureRecord, Record, TrialRecord, append_record, read_records
from search.space.budget import cost_budget
from search.space.choices import build_space
from search.space.members import SpaceCandidates
from search.study import loop
from search.study.loop import MAX_FAILURES, Tally, TrialLoop
from search.study.memory import open_study
from search.study.objective import Objective
from search.study.start import starting_points
from tests.search.config.test_checks import config_of

CLASSES = 10


class Quiet:
    def trial(self, record: Record, completed: int) -> None:
        pass


class InProcess:
    """The real training, here and now, in the order of the jobs: every future is finished
    before the next job is known. On one thread, as a worker would."""

    def __init__(self, data: ImageData, config: RunConfig, fail: Sequence[int] = ()) -> None:
        torch.set_num_threads(1)
        self.data, self.config, self.fail = data, config, set(fail)
        self.jobs: list[Job] = []

    def evaluate(self, job: Job) -> "Future[Evaluation]":
        future: Future[Evaluation] = Future()
        self.jobs.append(job)
        if len(self.jobs) in self.fail or -1 in self.fail:
            future.set_exception(TrainingError("nan", "made to fail"))
        else:
            future.set_result(run_job(job, self.data, self.config.training))
        return future


@pytest.fixture(scope="module")
def digits_data(digits: Path) -> ImageData:
    return load_data(config_of("dataset=npz", f"dataset.root={digits}").dataset, 8)


def run_loop(
    config: RunConfig, data: ImageData, root: Path, evaluator: Any = None
) -> tuple[Tally, StudyFolder, Any]:
    budget = cost_budget(config)
    space = build_space(config.space, 8, data.in_channels, CLASSES, budget)
    folder = StudyFolder(str(root), config.study)
    folder.path.mkdir(parents=True, exist_ok=True)
    evaluator = evaluator or InProcess(data, config)
    tally = TrialLoop(
        config, SpaceCandidates(space, budget, CLASSES), folder, evaluator, Quiet()
    ).run()
    return tally, folder, evaluator


def what(records: Sequence[TrialRecord]) -> list[tuple[int, str, float, float]]:
    return [(r.number, r.arch, r.metrics["val_accuracy"], r.metrics["val_loss"]) for r in records]


@pytest.fixture
def config(digits_settings: list[str]) -> RunConfig:
    return config_of(*digits_settings)


@pytest.mark.parametrize("sampler", ["tpe", "nsga2", "random"])
@pytest.mark.parametrize("objective", ["pareto", "reward"])
def test_a_study_completes_within_its_budget(
    config: RunConfig, digits_data: ImageData, tmp_path: Path, sampler: str, objective: str
) -> None:
    config = changed(config, {"sampler": sampler, "objective": objective})
    config = changed(config, {"budget.max_macs": "40k"})
    config = changed(config, {"search.trials": 4})
    tally, folder, evaluator = run_loop(config, digits_data, tmp_path)
    records = folder.completed()
    assert len(records) == 4
    assert all(record.cost.macs <= 40_000 for record in records)
    assert all(record.cost == count(parse_arch(record.arch), CLASSES) for record in records)
    # Over budget means: counted and told, never trained.
    assert tally.over_budget > 0
    assert len(evaluator.jobs) == 4
    study = open_study(config, folder)
    pruned = study.get_trials(states=(TrialState.PRUNED,))
    assert len(pruned) == tally.over_budget
    assert all(trial.constraints["macs"] > 0 for trial in pruned)
    assert len(study.directions) == (2 if objective == "pareto" else 1)


def test_a_small_space_is_trained_once_and_ends(
    config: RunConfig, digits_data: ImageData, tmp_path: Path
) -> None:
    config = changed(config, {"budget.max_macs": "1G"})
    config = changed(config, {"space.stages": [replace(config.space.stages[0], repeats=[1])]})
    config = changed(config, {"space.kernel": [3, 5], "space.expand_ratio": [1]})
    config = changed(config, {"space.se_ratio": [0.0], "space.skip": [True]})
    config = changed(config, {"space.width": [0.9, 1.0, 1.1]})  # 16 channels by rounding, all three
    config = changed(config, {"sampler": "random"})
    tally, folder, evaluator = run_loop(config, digits_data, tmp_path)
    assert len(folder.completed()) == 2
    assert len({job.arch for job in evaluator.jobs}) == len(evaluator.jobs) == 2
    assert 4 <= tally.duplicates < 100
    assert tally.ended_early == "every combination of the space was asked for"


def test_the_least_loss_steers_and_is_chosen(
    config: RunConfig, digits_data: ImageData, tmp_path: Path
) -> None:
    config = changed(config, {"objective": "loss", "search.trials": 4})
    _, folder, _ = run_loop(config, digits_data, tmp_path)
    records = folder.completed()
    least = min(record.metrics["val_loss"] for record in records)
    assert open_study(config, folder).best_value == -least
    assert Objective.of(config).best(records).metrics["val_loss"] == least


def test_same_seed_same_trials_and_another_seed_others(
    config: RunConfig, digits_data: ImageData, tmp_path: Path
) -> None:
    found = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        config = changed(config, {"study": name, "seed": seed})
        _, folder, _ = run_loop(config, digits_data, tmp_path)
        found.append(what(folder.completed()))
    assert found[0] == found[1]
    assert found[0] != found[2]


def test_worker_order_changes_nothing(
    config: RunConfig, digits_data: ImageData, tmp_path: Path
) -> None:
    """Real worker processes, whose timing nobody controls, against trainings done at once."""
    config = changed(config, {"search.trials": 14})  # past TPE's random start-up
    config = changed(config, {"study": "at-once"})
    _, here, _ = run_loop(config, digits_data, tmp_path)
    config = changed(config, {"study": "workers"})
    with TrainEvaluator(digits_data, config.proxy, config.workers) as evaluator:
        _, there, _ = run_loop(config, digits_data, tmp_path, evaluator)
    assert what(here.completed()) == what(there.completed())


@pytest.mark.parametrize("stop_at", ["suggest", "train", "record", "tell"])
def test_a_crash_anywhere_leads_to_the_same_trials(
    config: RunConfig,
    digits_data: ImageData,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    stop_at: str,
) -> None:
    config = changed(config, {"budget.max_macs": "60k", "sampler": "tpe"})
    config = changed(config, {"study": "whole"})
    _, whole, _ = run_loop(config, digits_data, tmp_path)
    config = changed(config, {"study": "cut"})

    class Crash(BaseException):
        pass

    def crash_at(call: int, function: Any) -> Any:
        calls = 0

        def wrapped(*arguments: Any, **options: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls == call:
                raise Crash
            return function(*arguments, **options)

        return wrapped

    for call in (1, 3):
        with monkeypatch.context() as patch:
            if stop_at == "suggest":
                suggest = crash_at(40 * call, Trial.suggest_categorical)
                patch.setattr(Trial, "suggest_categorical", suggest)
            elif stop_at == "train":
                patch.setattr(InProcess, "evaluate", crash_at(call, InProcess.evaluate))
            elif stop_at == "record":
                patch.setattr("search.study.loop.append_record", crash_at(call, append_record))
            else:
                patch.setattr(optuna.Study, "tell", crash_at(call, optuna.Study.tell))
            with pytest.raises(Crash):
                run_loop(config, digits_data, tmp_path)
    _, cut, _ = run_loop(config, digits_data, tmp_path)
    assert what(cut.completed()) == what(whole.completed())
    states = [trial.state for trial in open_study(config, cut).get_trials()]
    assert TrialState.RUNNING not in states


@pytest.fixture
def halving(digits_settings: list[str]) -> RunConfig:
    """A search by successive halving at an exact budget."""
    return config_of(
        *digits_settings,
        "sampler=surrogate",
        "budget.target=60k",
        "search.pruner=asha",
        "search.reduction_factor=2",
        "search.trials=12",
        "proxy.epochs=4",
    )


def test_halving_stops_the_worse_and_every_candidate_is_at_the_target(
    halving: RunConfig, digits_data: ImageData, tmp_path: Path
) -> None:
    tally, folder, _ = run_loop(halving, digits_data, tmp_path)
    records = folder.trained()
    assert len(records) == 12
    assert all(abs(record.cost.macs / 60_000 - 1) <= 0.02 for record in records)
    assert tally.over_budget == 0
    stopped = [record for record in records if record.stopped]
    assert len(stopped) == tally.stopped > 0
    assert {record.fidelity["epochs"] for record in stopped} <= {1, 2}
    assert 0 < len(folder.completed()) < 12
    assert all(record.fidelity == {"epochs": 4} for record in folder.completed())
    study = open_study(halving, folder)
    trials = {trial.number: trial for trial in study.get_trials()}
    for record in records:
        assert trials[record.number].values == [-record.metrics["val_loss"]]
        state = TrialState.PRUNED if record.stopped else TrialState.COMPLETE
        assert trials[record.number].state == state
    assert not list((folder / "checkpoints").iterdir())


def test_a_training_in_pieces_is_the_training_in_one(
    halving: RunConfig, digits_data: ImageData, tmp_path: Path
) -> None:
    _, folder, _ = run_loop(halving, digits_data, tmp_path)
    halving = changed(
        halving, {"proxy.ema": halving.training.ema}
    )  # whose default depends on the pruner
    halving = changed(halving, {"search.pruner": "none"})
    evaluator = InProcess(digits_data, halving)
    for record in folder.completed()[:2]:
        job = make_job(record.arch, 4, halving.seed)
        whole = evaluator.evaluate(job).result()
        assert whole.metrics == record.metrics


@pytest.mark.slow
def test_halving_is_the_same_by_workers_and_after_a_crash_anywhere(
    halving: RunConfig,
    digits_data: ImageData,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    halving = changed(halving, {"study": "at-once"})
    _, here, _ = run_loop(halving, digits_data, tmp_path)
    halving = changed(halving, {"study": "workers"})
    with TrainEvaluator(digits_data, halving.training, halving.workers) as evaluator:
        _, there, _ = run_loop(halving, digits_data, tmp_path, evaluator)
    assert what(here.trained()) == what(there.trained())

    class Crash(BaseException):
        pass

    halving = changed(halving, {"study": "cut"})
    targets = (
        (InProcess, "evaluate"),
        (Trial, "report"),
        (Trial, "set_user_attr"),
        (loop, "append_record"),
        (optuna.Study, "tell"),
    )
    crashes = 0
    for owner, name in (*targets, *targets):
        original = getattr(owner, name)
        calls = 0

        def wrapped(*arguments: Any, **options: Any) -> Any:
            nonlocal calls, crashes
            calls += 1
            if calls == 4:
                crashes += 1
                raise Crash
            return original(*arguments, **options)  # noqa: B023

        with monkeypatch.context() as patch:
            patch.setattr(owner, name, wrapped)
            with contextlib.suppress(Crash):  # the last find nothing left to do
                run_loop(halving, digits_data, tmp_path)
    assert crashes >= len(targets)
    _, cut, _ = run_loop(halving, digits_data, tmp_path)
    assert what(cut.trained()) == what(here.trained())


def test_enqueued_architectures_come_first(
    config: RunConfig, digits_data: ImageData, tmp_path: Path
) -> None:
    budget = cost_budget(config)
    candidates = SpaceCandidates(build_space(config.space, 8, 1, CLASSES, budget), budget, CLASSES)
    codes = candidates.sample(2, np.random.default_rng(5))
    spellings = [format_arch(candidates.network(candidates.decode(code))[0]) for code in codes]
    config = changed(config, {"search.enqueue": spellings})
    enqueued = starting_points(config, candidates)
    folder = StudyFolder(str(tmp_path), config.study)
    folder.open(config)
    evaluator = InProcess(digits_data, config)
    TrialLoop(config, candidates, folder, evaluator, Quiet(), enqueued).run()
    assert [record.arch for record in folder.completed()][:2] == spellings

    # A study that starts with the best of this one.
    best = sorted(folder.completed(), key=lambda r: -r.metrics["val_accuracy"])[:3]
    config = changed(config, {"search.enqueue": [], "search.warm_start": folder.study})
    config = changed(config, {"search.warm_start_top": 3, "study": "later"})
    config = changed(config, {"results_dir": str(tmp_path)})
    later = starting_points(config, candidates)
    found = [format_arch(candidates.network(values)[0]) for values in later]
    assert found == [record.arch for record in best]
    config = changed(config, {"search.warm_start": "mian"})
    with pytest.raises(StudyError, match=r"no study 'mian'.*did you mean 'main'"):
        starting_points(config, candidates)
    config = changed(config, {"search.warm_start": None, "search.enqueue": ["r8-s8"]})
    with pytest.raises(ConfigError, match=r"search.enqueue: "):
        starting_points(config, candidates)


def test_minutes_end_a_search_that_has_trials_left(
    config: RunConfig, digits_data: ImageData, tmp_path: Path
) -> None:
    config = changed(config, {"search.trials": 1000, "search.minutes": 1e-9})
    _, folder, evaluator = run_loop(config, digits_data, tmp_path)
    assert not evaluator.jobs
    config = changed(config, {"search.trials": 3, "search.minutes": 10.0})
    run_loop(config, digits_data, tmp_path)
    assert len(folder.completed()) == 3


def test_a_failed_training_is_recorded_and_the_search_goes_on(
    config: RunConfig, digits_data: ImageData, tmp_path: Path
) -> None:
    evaluator = InProcess(digits_data, config, fail=[2])
    tally, folder, _ = run_loop(config, digits_data, tmp_path, evaluator)
    failures = [r for r in read_records(folder.trials) if isinstance(r, FailureRecord)]
    assert [(failure.kind, failure.error) for failure in failures] == [("nan", "made to fail")]
    assert tally.failures == 1
    assert len(folder.completed()) == config.search.trials


def test_trainings_that_all_fail_end_the_search(
    config: RunConfig, digits_data: ImageData, tmp_path: Path
) -> None:
    evaluator = InProcess(digits_data, config, fail=[-1])
    config = changed(config, {"search.trials": 50})
    with pytest.raises(StudyError, match=f"{MAX_FAILURES} trainings in a row failed.*made to fail"):
        run_loop(config, digits_data, tmp_path, evaluator)


def test_a_killed_worker_is_replaced_and_its_job_done(
    config: RunConfig, digits_data: ImageData
) -> None:
    config = changed(config, {"workers.count": 1})
    job = Job("r8-i1-s8-[ds_r1_k3_s1_e1_c8]-h16", 1, seed=0)
    with TrainEvaluator(digits_data, config.proxy, config.workers) as evaluator:
        first = outcome(evaluator, job, evaluator.evaluate(job))
        for pid in list(evaluator._executor._pool._processes or {}):
            os.kill(pid, signal.SIGKILL)
        # The job at work dies with its worker and is done all the same.
        again = outcome(evaluator, job, evaluator.evaluate(job))
        assert again.metrics == first.metrics


def test_the_journal_holds_each_architecture(
    config: RunConfig, digits_data: ImageData, tmp_path: Path
) -> None:
    _, folder, _ = run_loop(config, digits_data, tmp_path)
    lines = [json.loads(line) for line in folder.trials.read_text().splitlines()]
    study = open_study(config, folder)
    by_number = {trial.number: trial for trial in study.get_trials()}
    for line in lines:
        trial = by_number[line["number"]]
        assert trial.user_attrs["arch"] == line["arch"]
        assert trial.values == [line["metrics"]["val_accuracy"], line["cost"]["macs"]]


def test_a_table_of_a_study_answers_for_its_trainings(
    config: RunConfig, digits_data: ImageData, tmp_path: Path
) -> None:
    config = changed(config, {"study": "trained"})
    _, trained, _ = run_loop(config, digits_data, tmp_path)
    table = read_table(str(trained.trials), num_classes=CLASSES)
    config = changed(config, {"study": "looked-up"})
    with TableEvaluator(table) as evaluator:
        _, looked_up, _ = run_loop(config, digits_data, tmp_path, evaluator)
    assert what(looked_up.completed()) == what(trained.completed())
    assert [r.cost for r in looked_up.completed()] == [r.cost for r in trained.completed()]
    # Another seed asks for other networks, which nobody trained.
    config = changed(config, {"study": "elsewhere", "seed": 1, "sampler": "random"})
    with pytest.raises(StudyError, match="is none of the table's 6 networks"):
        run_loop(config, digits_data, tmp_path, TableEvaluator(table))
    failures = read_records(StudyFolder(str(tmp_path), "elsewhere").trials)
    assert {f.kind for f in failures if isinstance(f, FailureRecord)} == {"error"}


def test_a_table_says_what_it_lacks(tmp_path: Path) -> None:
    spellings = [f"r8-i1-s8-[ds_r{r}_k3_s1_e1_c8]-h16" for r in (1, 2)]
    rows = [
        {"arch": spellings[0], "top1": 0.75, "test_accuracy": 0.7},
        {"arch": spellings[1], "other": 1.0},
    ]
    (tmp_path / "table.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    table = read_table(str(tmp_path / "table.jsonl"), num_classes=CLASSES)
    evaluator = TableEvaluator(table, accuracy="top1")
    job = make_job(spellings[0], 1, 0)
    found = evaluator.evaluate(replace(job, test=True)).result()
    assert found.metrics == {"top1": 0.75, "val_accuracy": 0.75, "test_accuracy": 0.7}
    assert found.cost == count(parse_arch(job.arch), CLASSES)
    for wrong, said in (
        (make_job(spellings[1], 1, 0), "no accuracy"),
        (replace(job, save=str(tmp_path / "b0.pt")), "no weights"),
    ):
        with pytest.raises(TrainingError, match=said):
            evaluator.evaluate(wrong).result()
    with pytest.raises(ConfigError, match="no column 'val_accuracy'"):
        TableEvaluator(table)
