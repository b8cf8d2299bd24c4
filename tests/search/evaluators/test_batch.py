"""Fixed lists of trainings."""

from concurrent.futures import Future
from pathlib import Path

from search.errors import TrainingError
from search.evaluators.batch import run_jobs
from search.evaluators.train import Evaluation, Job
from search.record.trials import FailureRecord

SMALL, LARGE = "r8-i1-s8-[ir_r1_k3_s1_e3_c8]-h8", "r16-i1-s8-[ir_r4_k3_s1_e3_c16]-h32"


class Refusing:
    """An evaluator that notes what it is given, and fails at once."""

    def __init__(self) -> None:
        self.begun: list[Job] = []

    def evaluate(self, job: Job) -> "Future[Evaluation]":
        self.begun.append(job)
        failed: Future[Evaluation] = Future()
        failed.set_exception(TrainingError("error", job.arch))
        return failed


def test_the_longest_are_begun_first_and_answered_in_order(tmp_path: Path) -> None:
    """No process is left with the longest training alone, at the end."""
    jobs = [Job(SMALL, 2, 0), Job(LARGE, 2, 0), Job(SMALL, 1, 1), Job(SMALL, 2, 3)]
    evaluator = Refusing()
    found = run_jobs(evaluator, [(job, tmp_path / "runs.jsonl") for job in jobs])
    assert evaluator.begun == [jobs[1], jobs[0], jobs[3], jobs[2]]
    assert [each.arch for each in found] == [job.arch for job in jobs]
    assert all(isinstance(each, FailureRecord) for each in found)
    assert not (tmp_path / "runs.jsonl").exists() or not (tmp_path / "runs.jsonl").read_text()
