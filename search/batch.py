"""A fixed list of trainings, resumable: the reference, the final B0, the scaling grid."""

from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, wait
from pathlib import Path

from search.errors import StudyError, TrainingError
from search.evaluators.train import Job, TrainEvaluator, outcome
from search.record import (
    TrialRecord,
    append_record,
    cut_torn_line,
    read_records,
    versions,
)

_Key = tuple[str, int, int]

MAX_ATTEMPTS = 2
"""A training whose worker died is tried again once: its neighbour may have been the cause."""


def run_jobs(
    evaluator: TrainEvaluator,
    work: Sequence[tuple[Job, Path]],
    done: Callable[[TrialRecord], None] = lambda record: None,
) -> list[TrialRecord]:
    """Train every job that its file does not hold yet; append each when it is finished.

    Returns the records in the order of `work`; `done` hears of each new one.

    Raises:
        StudyError: a training failed; what was finished is on disk.
    """
    known: dict[tuple[Path, _Key], TrialRecord] = {}
    for path in {path for _, path in work}:
        cut_torn_line(path)
        for record in read_records(path):
            if isinstance(record, TrialRecord):
                known[path, (record.arch, record.seed, record.fidelity["epochs"])] = record
    pending = {
        evaluator.evaluate(job): (number, job, path, 1)
        for number, (job, path) in enumerate(work)
        if (path, _key(job)) not in known
    }
    while pending:
        for future in wait(pending, return_when=FIRST_COMPLETED).done:
            number, job, path, attempt = pending.pop(future)
            try:
                evaluation = outcome(future)
            except TrainingError as error:
                if error.kind == "killed" and attempt < MAX_ATTEMPTS:
                    pending[evaluator.evaluate(job)] = (number, job, path, attempt + 1)
                    continue
                raise StudyError(f"training of {job.arch} failed ({error.kind}): {error}") from None
            record = TrialRecord(
                number,
                job.arch,
                evaluation.cost,
                evaluation.metrics,
                job.seed,
                job.fidelity,
                evaluation.seconds,
                versions(),
            )
            append_record(path, record)
            known[path, _key(job)] = record
            done(record)
    return [known[path, _key(job)] for job, path in work]


def _key(job: Job) -> _Key:
    return job.arch, job.seed, job.epochs
