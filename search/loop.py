"""The trial loop: ask, count, train, record, tell; and how it goes on after a crash.

`workers.count` trials are in flight. They are recorded when they finish but told to the
sampler in the order they were asked, and a new one is asked only when the oldest has been
told. So what a sampler knows at each ask, and with it every proposal, depends on the seed
alone and not on which worker was quicker.
"""

import os
import time
from collections import deque
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field
from typing import Protocol

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, Trial, TrialState

from blocks.arch import format_arch
from blocks.cost import count
from blocks.errors import one_line
from search.batch import record_outcome
from search.config import RunConfig
from search.errors import StudyError
from search.evaluators.train import Evaluation, Evaluator, Job, make_job
from search.pareto import reward
from search.record import (
    FailureRecord,
    Record,
    StudyFolder,
    TrialRecord,
    append_record,
    cut_torn_line,
    derive_seed,
    read_records,
)
from search.samplers import build_sampler
from search.space import SearchSpace

MAX_BARREN_ASKS = 1000
"""Proposals in a row without a new feasible architecture, after which a search ends."""
MAX_FAILURES = 10
"""Failed trainings in a row, after which something is wrong with more than a candidate."""


class Progress(Protocol):
    """Who hears of each trial."""

    def trial(self, record: Record, completed: int) -> None:
        """A trial has been recorded."""


@dataclass
class Tally:
    """What the loop did besides training, and how long it took (seconds)."""

    over_budget: int = 0
    duplicates: int = 0
    failures: int = 0
    ended_early: str | None = None
    seconds: dict[str, float] = field(default_factory=lambda: {"ask": 0.0, "count": 0.0})


@dataclass
class _InFlight:
    """An asked trial: waiting for its future, or already recorded by an interrupted run."""

    trial: Trial
    job: Job
    future: "Future[Evaluation] | None"
    record: Record | None = None
    twin: bool = False  # an equal architecture was trained before, or is in flight


class TrialLoop:
    """One study's loop. `run()` returns when `search.trials` candidates have been trained."""

    def __init__(
        self,
        config: RunConfig,
        space: SearchSpace,
        num_classes: int,
        folder: StudyFolder,
        evaluator: Evaluator,
        progress: Progress,
    ) -> None:
        self.config = config
        self.space = space
        self.num_classes = num_classes
        self.folder = folder
        self.evaluator = evaluator
        self.progress = progress
        self.tally = Tally()
        self.in_flight: deque[_InFlight] = deque()
        cut_torn_line(folder.trials)
        self.recorded = {record.number: record for record in read_records(folder.trials)}
        self.study = open_study(config, folder)
        self.told: dict[str, Record] = {}  # by spelling
        for trial in self.study.get_trials(deepcopy=False):
            if trial.state != TrialState.RUNNING and trial.number in self.recorded:
                record = self.recorded[trial.number]
                self.told[record.arch] = record
        self.completed = sum(isinstance(record, TrialRecord) for record in self.told.values())
        self._failures_in_a_row = 0

    def run(self) -> Tally:
        """Train until `search.trials` distinct candidates are complete.

        Raises:
            StudyError: trainings fail one after the other.
        """
        for frozen in self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            self._admit(self._revive(frozen))
        barren = 0
        while True:
            while self._wants_more():
                barren = 0 if self._admit(self._ask()) else barren + 1
                if barren == MAX_BARREN_ASKS:
                    self.tally.ended_early = (
                        f"{barren} proposals in a row were over budget or already trained: the "
                        "space seems exhausted"
                    )
            if not self.in_flight:
                return self.tally
            self._record_finished()
            self._tell_oldest()

    def _wants_more(self) -> bool:
        if self.tally.ended_early or len(self.in_flight) >= self.config.workers.count:
            return False
        new = sum(not item.twin for item in self.in_flight)
        return self.completed + new < self.config.search.trials

    def _ask(self) -> Trial:
        started = time.perf_counter()
        self._reseed(len(self.study.get_trials(deepcopy=False)))
        trial = self.study.ask()
        self.tally.seconds["ask"] += time.perf_counter() - started
        return trial

    def _revive(self, frozen: FrozenTrial) -> Trial:
        """A trial that an interrupted run had asked: same number, same proposal."""
        self._reseed(frozen.number)
        trial = Trial(self.study, frozen._trial_id)
        # Interrupted between two parameters: draw again what is stored, so that the sampler's
        # random state stands where it stood.
        for name, distribution in frozen.distributions.items():
            if not distribution.single() and name not in trial.relative_params:
                self.study.sampler.sample_independent(self.study, frozen, name, distribution)
        return trial

    def _reseed(self, number: int) -> None:
        # A sampler per trial: its random state follows from the trial's number, so an
        # interrupted study proposes what an uninterrupted one would have.
        seed = derive_seed(self.config.seed, "sampler", number)
        self.study.sampler = build_sampler(self.config.sampler, seed % 2**32)

    def _admit(self, trial: Trial) -> bool:
        """Put a trial in flight, or end it at once; False where it needs no training."""
        started = time.perf_counter()
        arch = self.space.suggest(trial)
        asked = time.perf_counter()
        self.tally.seconds["ask"] += asked - started
        spelling = format_arch(arch)
        macs = count(arch, self.num_classes).macs
        self.tally.seconds["count"] += time.perf_counter() - asked
        if macs > self.config.max_macs:
            # Told as pruned with its excess: TPE learns from it, and nothing was trained.
            if "macs" not in trial.constraints:  # a crash may have come between this and tell
                trial.set_constraint("macs", macs / self.config.max_macs - 1.0)
            self.study.tell(trial, state=TrialState.PRUNED)
            self.tally.over_budget += 1
            return False
        trial.set_user_attr("arch", spelling)
        job = self._job(spelling)
        twin = next((item for item in self.in_flight if item.job.arch == spelling), None)
        if spelling in self.told or twin is not None:
            # Never trained twice, but told in its turn like any other.
            record = self.told.get(spelling) or (twin.record if twin else None)
            self.in_flight.append(_InFlight(trial, job, None, record, twin=True))
            self.tally.duplicates += 1
            return False
        if trial.number in self.recorded:
            if self.recorded[trial.number].arch != spelling:
                raise StudyError(
                    f"{self.folder.trials} has trial {trial.number} as "
                    f"{self.recorded[trial.number].arch}, the sampler's journal as {spelling}; "
                    "the two files are not of one study"
                )
            self.in_flight.append(_InFlight(trial, job, None, self.recorded[trial.number]))
        else:
            self.in_flight.append(_InFlight(trial, job, self.evaluator.evaluate(job)))
        return True

    def _job(self, spelling: str) -> Job:
        return make_job(spelling, self.config.proxy.epochs, self.config.seed)

    def _record_finished(self) -> None:
        """Wait for any training, and put all that have finished on disk."""
        waiting = [item for item in self.in_flight if item.record is None and not item.twin]
        futures = [item.future for item in waiting if item.future is not None]
        if futures and self.in_flight[0].record is None:
            wait(futures, return_when=FIRST_COMPLETED)
        for item in waiting:
            if item.future is not None and item.future.done():
                self._record(item)

    def _record(self, item: _InFlight) -> None:
        assert item.future is not None
        record = record_outcome(self.evaluator, item.trial.number, item.job, item.future)
        if isinstance(record, FailureRecord):
            self.tally.failures += 1
            self._failures_in_a_row += 1
        else:
            self._failures_in_a_row = 0
        append_record(self.folder.trials, record)
        item.record = record
        for other in self.in_flight:
            if other.twin and other.job.arch == item.job.arch:
                other.record = record
        finished = [*self.told.values(), *(i.record for i in self.in_flight if not i.twin)]
        self.progress.trial(record, sum(isinstance(done, TrialRecord) for done in finished))
        if self._failures_in_a_row >= MAX_FAILURES:
            raise StudyError(
                f"{MAX_FAILURES} trainings in a row failed, the last ({record.arch}) with: "
                f"{record.error if isinstance(record, FailureRecord) else ''}"
            )

    def _tell_oldest(self) -> None:
        while self.in_flight and self.in_flight[0].record is not None:
            item = self.in_flight.popleft()
            assert item.record is not None
            self._tell(item.trial, item.record)
            if not item.twin:
                self.told[item.job.arch] = item.record
                self.completed += isinstance(item.record, TrialRecord)
            if len(self.in_flight) < self.config.workers.count and self._wants_more():
                # Ask now, before the next is told: whether that one happens to have finished
                # already must not change what the sampler knows.
                return

    def _tell(self, trial: Trial, record: Record) -> None:
        if isinstance(record, FailureRecord):
            self.study.tell(trial, state=TrialState.FAIL)
            return
        accuracy, macs = record.metrics["val_accuracy"], record.cost.macs
        if self.config.objective == "pareto":
            self.study.tell(trial, [accuracy, macs])
        else:
            exponent = self.config.reward.exponent
            self.study.tell(trial, reward(accuracy, macs, self.config.target_macs, exponent))


def open_study(config: RunConfig, folder: StudyFolder) -> optuna.Study:
    """The Optuna study behind a folder, made or resumed; the caller holds the study's lock.

    Raises:
        StudyError: the journal cannot be read.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    journal = folder / "optuna.journal"
    cut_torn_line(journal)
    # A process killed while it wrote leaves Optuna's own lock behind; ours says nobody is here.
    for stale in folder.path.glob("optuna.journal.lock*"):
        os.unlink(stale)
    pareto = config.objective == "pareto"
    try:
        return optuna.create_study(
            storage=JournalStorage(JournalFileBackend(str(journal))),
            study_name=config.study,
            directions=["maximize", "minimize"] if pareto else ["maximize"],
            load_if_exists=True,
        )
    except (ValueError, KeyError) as error:
        raise StudyError(f"{journal} is damaged: {one_line(error)}") from None
