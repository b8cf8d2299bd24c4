"""The trial loop: ask, count, train, record, tell; and how it goes on after a crash.

`workers.count` trials are in flight, and `workers.ahead` more. Which ends first is decided by a
clock of their own, on which a training takes as long as its multiply-adds, and only then awaited:
so what a sampler or a pruner knows at each decision, and with it every proposal, depends on the
seed and on this number alone and not on which worker was quicker. The clock runs nearly as the
wall's does, so hardly anybody waits; where machines differ, those ahead are what the quicker train.
"""

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import optuna
from optuna.trial import FrozenTrial, Trial, TrialState

from blocks.arch import format_arch, parse_arch
from blocks.cost import Cost
from blocks.files import remove_durable
from blocks.messages import say
from search.config.schema import RunConfig
from search.config.storage import JOURNAL
from search.errors import StudyError
from search.evaluators.batch import record_outcome
from search.evaluators.executors.working import TRANSIENT
from search.evaluators.process import await_any, check_interrupt, deferred_interrupts
from search.evaluators.train import Evaluation, Evaluator, Job, make_job
from search.record.folder import StudyFolder
from search.record.trials import (
    FailureRecord,
    Record,
    TrialRecord,
    append_record,
    cut_torn_line,
    derive_seed,
    read_records,
)
from search.samplers import build_sampler
from search.space.latency_budget import PREDICTED_MS, predicted_ms
from search.space.members import SpaceCandidates
from search.study.memory import open_study, rungs
from search.study.objective import Objective
from search.study.progress import Progress

MAX_BARREN_ASKS = 1000
"""Proposals in a row without a new feasible architecture, after which a search ends."""
MAX_FAILURES = 10
"""Failed trainings in a row, after which something is wrong with more than a candidate."""
FAILED: Final = "failed"
"""Constraint of a candidate whose training failed by itself: 1, as 0 is feasible."""
_BEGUN: Final = "begun"
"""User attribute: when on the loop's own clock a trial began."""
_ENDED: Final = "ended"
"""User attribute: when on that clock it ended."""
_GOES_ON: Final = "goes_on"
"""User attribute: the last epoch after which the pruner let a trial go on, and how many rungs
of its bracket the trial had then been compared at."""
_RUNG: Final = "completed_rung_"
"""System attributes of Optuna's halving: a trial's value at each rung of its bracket."""


@dataclass
class Tally:
    """What the loop did besides training, and how long it took (seconds)."""

    over_budget: int = 0
    duplicates: int = 0
    failures: int = 0
    stopped: int = 0
    ended_early: str | None = None
    seconds: dict[str, float] = field(default_factory=lambda: {"ask": 0.0, "count": 0.0})


@dataclass
class _InFlight:
    """An asked trial: its training, up to the next rung, is awaited or already recorded."""

    trial: Trial
    job: Job
    cost: Cost
    due: float  # on the loop's clock
    future: "Future[Evaluation] | None" = None
    record: Record | None = None

    @property
    def last(self) -> bool:
        """Whether this is the training's last piece."""
        return self.job.until is None or self.job.until == self.job.epochs


class TrialLoop:
    """One study's loop. `run()` returns when `search.trials` candidates have been trained.

    `enqueued` are combinations of choices that are evaluated first.
    """

    def __init__(
        self,
        config: RunConfig,
        candidates: SpaceCandidates,
        folder: StudyFolder,
        evaluator: Evaluator,
        progress: Progress,
        enqueued: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        self.config = config
        self.objective = Objective.of(config)
        self.candidates = candidates
        self.folder = folder
        self.evaluator = evaluator
        self.progress = progress
        self.tally = Tally()
        self.in_flight: list[_InFlight] = []
        self.rungs = rungs(config)
        if len(self.rungs) > 1:
            (folder / "checkpoints").mkdir(exist_ok=True)
        cut_torn_line(folder.trials)
        self.recorded = {record.number: record for record in read_records(folder.trials)}
        self.study = open_study(config, folder, self._keep)
        self._rebuild()
        self.told: dict[str, Record] = {}  # by spelling
        self._trained = 0  # of those told
        self.clock = 0.0
        for trial in self.study.get_trials(deepcopy=False):
            if trial.state.is_finished():
                if len(self.rungs) > 1:  # left where a kill came between tell and this
                    remove_durable(folder / "checkpoints" / f"{trial.number}.pt")
                self.clock = max(self.clock, trial.user_attrs.get(_ENDED, 0.0))
                if trial.number in self.recorded:
                    self._know(self.recorded[trial.number])
        for values in enqueued:
            self.study.enqueue_trial(dict(values), skip_if_exists=True)
        self._failures_in_a_row = 0

    def run(self) -> Tally:
        """Train until `search.trials` distinct candidates are done, or `search.minutes` are over.

        Raises:
            StudyError: trainings fail one after the other.
            KeyboardInterrupt: somebody asked to stop; nothing is half done.
        """
        started = time.monotonic()
        with deferred_interrupts():
            for frozen in self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
                self._admit(self._revive(frozen))
            barren = 0
            while True:
                while self._wants_more(time.monotonic() - started):
                    check_interrupt()
                    barren = 0 if self._admit(self._ask()) else barren + 1
                    if barren and self._all_asked():
                        self.tally.ended_early = "every combination of the space was asked for"
                    elif barren == MAX_BARREN_ASKS:
                        self.tally.ended_early = (
                            f"{barren} proposals in a row were over budget or already trained: "
                            "the space seems exhausted"
                        )
                if not self.in_flight:
                    return self.tally
                self._advance(min(self.in_flight, key=lambda item: (item.due, item.trial.number)))

    def _rebuild(self) -> None:
        """A memory that is gone, from the records: proposals are made again, as they were.

        What a pruner compared on the way is in no record. With one, proposals would be others, so
        that the recorded ones are given, and numbers without a record stay empty.
        """
        known, last = len(self.study.get_trials(deepcopy=False)), max(self.recorded, default=-1)
        if known > last:  # it knows all of them; less, where this was cut off
            return
        storage = self.config.storage
        place = self.folder.path if storage in (None, JOURNAL) else storage
        say(
            f"the sampler's memory is not in {place}: it is built anew from "
            f"{len(self.recorded)} records of {self.folder.trials}"
        )
        for number in range(known, last + 1) if len(self.rungs) > 1 else ():
            if number in self.recorded:
                arch = parse_arch(self.recorded[number].arch)
                self.study.enqueue_trial(self.candidates.find(arch))
            else:
                self.study.add_trial(optuna.trial.create_trial(state=TrialState.FAIL))

    def _keep(self) -> None:
        """Put what is trained on disk, also while a database does not answer."""
        for item in self.in_flight:
            if item.last and item.future is not None and item.future.done():
                self._record(item)

    def _wants_more(self, seconds: float) -> bool:
        workers = self.config.workers
        if self.tally.ended_early or len(self.in_flight) >= workers.count + workers.ahead:
            return False
        minutes = self.config.trial_minutes
        if minutes is not None and seconds >= 60 * minutes:
            return False
        return self._trained + len(self.in_flight) < self.config.search.trials

    def _all_asked(self) -> bool:
        """Whether no combination is left that was not proposed."""
        trials = self.study.get_trials(deepcopy=False)
        if len(trials) < len(self.candidates):
            return False
        asked = {tuple(sorted(trial.params.items())) for trial in trials}
        return len(asked) >= len(self.candidates)

    def _know(self, record: Record) -> None:
        """Count it as told."""
        if isinstance(record, TrialRecord) and not isinstance(
            self.told.get(record.arch), TrialRecord
        ):
            self._trained += 1
        self.told[record.arch] = record

    def _ask(self) -> Trial:
        self.folder.check_held()
        started = time.perf_counter()
        trials = self.study.get_trials(deepcopy=False)
        waiting = [trial.number for trial in trials if trial.state == TrialState.WAITING]
        self._reseed(min(waiting, default=len(trials)))
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
        self.study.sampler = build_sampler(self.config.sampler, seed % 2**32, self.candidates)

    def _admit(self, trial: Trial) -> bool:
        """Put a trial in flight, or end it at once; False where it needs no training."""
        started = time.perf_counter()
        values = self.candidates.space.suggest(trial)
        asked = time.perf_counter()
        self.tally.seconds["ask"] += asked - started
        arch, cost, excess = self.candidates.network(values)
        spelling = format_arch(arch)
        self.tally.seconds["count"] += time.perf_counter() - asked
        if _BEGUN not in trial.user_attrs:
            trial.set_user_attr(_BEGUN, self._begins())
        if excess > 0:
            # Told as pruned with its excess: TPE learns from it, and nothing was trained.
            metric = self.candidates.budget.metric
            if metric not in trial.constraints:  # a crash may have come between this and tell
                trial.set_constraint(metric, excess)
            self.study.tell(trial, state=TrialState.PRUNED)
            self.tally.over_budget += 1
            return False
        trial.set_user_attr("arch", spelling)
        if spelling in self.told:
            # Never trained twice, but told like any other.
            self._tell(trial, self.told[spelling])
            self.tally.duplicates += 1
            return False
        if any(item.job.arch == spelling for item in self.in_flight):
            self.study.tell(trial, state=TrialState.FAIL)  # nothing is known of it yet
            self.tally.duplicates += 1
            return False
        item = self._item(trial, spelling, cost)
        if trial.number in self.recorded:
            item.record = self.recorded[trial.number]
            if item.record.arch != spelling:
                raise StudyError(
                    f"{self.folder.trials} has trial {trial.number} as {item.record.arch}, the "
                    f"sampler's journal as {spelling}; the two files are not of one study"
                )
        else:
            item.future = self.evaluator.evaluate(item.job)
        self.in_flight.append(item)
        return True

    def _begins(self) -> float:
        """When, on the loop's clock, the next of `workers.count` workers would be free."""
        count = self.config.workers.count
        last = sorted((item.due for item in self.in_flight), reverse=True)[:count]
        return max(self.clock, last[-1]) if len(last) == count else self.clock

    def _item(self, trial: Trial, spelling: str, cost: Cost) -> _InFlight:
        """A trial's next piece of training: the first, or where an interrupted run left it."""
        job = make_job(spelling, self.config.trial_epochs, self.config.seed)
        job = replace(job, inherit=self.config.inherits)
        begun = float(trial.user_attrs[_BEGUN])
        if len(self.rungs) > 1:
            done, _ = trial.user_attrs.get(_GOES_ON, (0, 0))
            until = next(rung for rung in self.rungs if rung > done)
            job = replace(job, until=until, checkpoint=str(self._checkpoint(trial)))
            return _InFlight(trial, job, cost, begun + cost.macs * until)
        return _InFlight(trial, job, cost, begun + cost.macs * max(1, job.epochs))

    def _checkpoint(self, trial: Trial) -> Path:
        return self.folder / "checkpoints" / f"{trial.number}.pt"

    def _advance(self, item: _InFlight) -> None:
        """Await one piece of training; tell its trial, or let it go on."""
        while item.record is None and not (item.future and item.future.done()):
            futures = [other.future for other in self.in_flight if other.future is not None]
            if waiting := [future for future in futures if not future.done()]:
                await_any(waiting)
            self._keep()  # as soon as they are done, whenever their turn comes
        if item.record is None:
            self._record(item)
        self.folder.check_held()
        self.clock = item.due
        if item.record is None:  # a piece that is not the last, and may go on
            self._next_piece(item)
            return
        self.in_flight.remove(item)
        item.trial.set_user_attr(_ENDED, self.clock)
        self._tell(item.trial, item.record)
        self._know(item.record)
        remove_durable(self._checkpoint(item.trial))

    def _record(self, item: _InFlight) -> None:
        """Put a finished training on disk, unless it is a piece after which it goes on."""
        if item.record is not None:
            return
        assert item.future is not None
        record = record_outcome(self.evaluator, item.trial.number, item.job, item.future)
        candidates = self.candidates
        ms = predicted_ms(candidates.budget, item.job.arch, candidates.num_classes)
        if isinstance(record, TrialRecord) and ms is not None:
            record = replace(record, metrics={**record.metrics, PREDICTED_MS: ms})
        if isinstance(record, FailureRecord):
            record = replace(record, cost=item.cost)
            self.tally.failures += 1
            self._failures_in_a_row += 1
        else:
            self._failures_in_a_row = 0
            if not item.last and not self._stops(item, record):
                return
            self.tally.stopped += record.stopped
        self.folder.check_held()
        append_record(self.folder.trials, record)
        item.record = record
        trained = self._trained + sum(
            isinstance(other.record, TrialRecord) for other in self.in_flight
        )
        self.progress.trial(record, trained)
        if self._failures_in_a_row >= MAX_FAILURES:
            raise StudyError(
                f"{MAX_FAILURES} trainings in a row failed, the last ({record.arch}) with: "
                f"{record.error if isinstance(record, FailureRecord) else ''}"
            )

    def _stops(self, item: _InFlight, record: TrialRecord) -> bool:
        """Whether the pruner ends a training after a piece that is not its last."""
        assert item.job.until is not None
        self._report(item.trial, record, item.job.until)
        lost = self._lost_decision(item.trial)
        if item.trial.should_prune() if lost is None else lost:
            return True
        compared = sum(name.startswith(_RUNG) for name in self._stored(item.trial).system_attrs)
        item.trial.set_user_attr(_GOES_ON, (item.job.until, compared))
        return False

    def _lost_decision(self, trial: Trial) -> bool | None:
        """Whether the pruner stopped this trial just before a crash; None where it was not asked.

        Optuna stores that a trial was compared at a rung before anybody knows the outcome, and
        takes a second question as one about the next rung. The values of the first are all there.
        """
        stored = self._stored(trial)
        _, compared = stored.user_attrs.get(_GOES_ON, (0, 0))
        key = f"{_RUNG}{compared}"
        if key not in stored.system_attrs:
            return None
        bracket = optuna.pruners._filter_study(self.study, stored)
        rung = [other.system_attrs.get(key) for other in bracket.get_trials(deepcopy=False)]
        values = sorted((value for value in rung if value is not None), reverse=True)
        places = max(1, len(values) // self.config.search.reduction_factor)
        return bool(stored.system_attrs[key] < values[places - 1])

    def _stored(self, trial: Trial) -> FrozenTrial:
        return self.study._storage.get_trial(trial._trial_id)

    def _report(self, trial: Trial, record: TrialRecord, epochs: int) -> None:
        reported = self._stored(trial).intermediate_values
        if epochs not in reported:  # a crash may have come between this and the decision
            trial.report(self.objective.rung(record), epochs)

    def _next_piece(self, item: _InFlight) -> None:
        assert item.job.until is not None
        until = next(rung for rung in self.rungs if rung > item.job.until)
        item.due += item.cost.macs * (until - item.job.until)
        item.job = replace(item.job, until=until)
        item.future = self.evaluator.evaluate(item.job)

    def _tell(self, trial: Trial, record: Record) -> None:
        if isinstance(record, FailureRecord):
            if record.kind in TRANSIENT:
                self.study.tell(trial, state=TrialState.FAIL)
                return
            # Told like one over the budget: what cannot be trained is avoided, as is its like.
            if FAILED not in trial.constraints:
                trial.set_constraint(FAILED, 1.0)
            self.study.tell(trial, state=TrialState.PRUNED)
        elif record.stopped:
            self._report(trial, record, record.fidelity["epochs"])
            self.study.tell(trial, state=TrialState.PRUNED)
        else:
            self.study.tell(trial, self.objective.told(record))
