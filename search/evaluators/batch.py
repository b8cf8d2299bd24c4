"""A fixed list of trainings, resumable: the reference, the final B0, the scaling grid."""

from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path

from blocks.arch import parse_arch
from blocks.cost import count
from blocks.machine import versions
from search.errors import TrainingError
from search.evaluators.pool import WorkerPool
from search.evaluators.process import await_any, deferred_interrupts
from search.evaluators.progress import Progress, Silent
from search.evaluators.train import Evaluation, Evaluator, Job, outcome
from search.record.trials import (
    FailureRecord,
    Record,
    TrialRecord,
    append_record,
    cut_torn_line,
    read_records,
)

_Key = tuple[str, int, int]


def run_jobs(
    evaluator: Evaluator,
    work: Sequence[tuple[Job, Path]],
    progress: Progress | None = None,
) -> list[Record]:
    """Train every job that its file does not hold yet; append each when it is finished.

    A job whose weights or outcomes are gone is trained again: no other job may write them. Returns
    a record per job, in the order of `work`; a failed one is not written, so that it is tried
    again another time. `progress` hears of all of them. The longest are begun first, so that at the
    end no process waits for another for long.
    """
    progress = Silent() if progress is None else progress
    known: dict[tuple[Path, _Key], Record] = {}
    for path in {path for _, path in work}:
        cut_torn_line(path)
        for record in read_records(path):
            if isinstance(record, TrialRecord):
                known[path, (record.arch, record.seed, record.fidelity["epochs"])] = record
    waiting = []
    for number, (job, path) in enumerate(work):
        left = [name for name in (job.save, job.outcomes) if name is not None]
        if (path, _key(job)) not in known or not all(Path(name).exists() for name in left):
            waiting.append((number, job, path, _work(job)))
        elif isinstance(record := known[path, _key(job)], TrialRecord):
            progress.found(record)
    waiting.sort(key=lambda each: -each[3])
    progress.queued([each[3] for each in waiting])
    if isinstance(evaluator, WorkerPool):
        progress.watch(evaluator.running)
    pending = {evaluator.evaluate(each[1]): each for each in waiting}
    with deferred_interrupts():
        while pending:
            for future in await_any(pending):
                number, job, path, work_of_it = pending.pop(future)
                record = record_outcome(evaluator, number, job, future)
                if isinstance(record, TrialRecord):
                    append_record(path, record)
                known[path, _key(job)] = record
                progress.one_more(record, work_of_it)
    return [known[path, _key(job)] for job, path in work]


def record_outcome(
    evaluator: Evaluator, number: int, job: Job, future: "Future[Evaluation]"
) -> Record:
    """What a job came to, awaited: a trial's record, or a failure's."""
    try:
        evaluation = outcome(evaluator, job, future)
    except TrainingError as error:
        return FailureRecord(number, job.arch, error.kind, str(error), error.log)
    return TrialRecord(
        number,
        job.arch,
        evaluation.cost,
        evaluation.metrics,
        job.seed,
        job.fidelity,
        evaluation.seconds,
        versions(),
        evaluation.losses,
    )


def _work(job: Job) -> int:
    """Of a training, about: multiply-adds of an image times epochs."""
    # Classes hardly matter, and a job does not say how many there are.
    return count(parse_arch(job.arch)).macs * job.epochs


def _key(job: Job) -> _Key:
    return job.arch, job.seed, job.epochs
