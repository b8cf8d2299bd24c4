"""Workers whose trainings take no time but on a clock of their own, for the real trial loop.

No benchmark itself.

The loop, the sampler, its journal and the records are the real ones; what a training takes and
comes to is drawn from its job's seed. Whenever the loop waits, the clock goes on to the next
training that ends.
"""

import heapq
import itertools
import math
import random
import time
from collections import deque
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from blocks.arch import parse_arch
from blocks.cost import Cost, count
from search.config.schema import RunConfig
from search.evaluators.train import Evaluation, Job
from search.record.folder import StudyFolder
from search.space.members import SpaceCandidates
from search.study import loop
from search.study.loop import Tally, TrialLoop
from search.study.progress import Silent

CLASSES = 10


@dataclass(frozen=True)
class Cluster:
    """`slowness` of each worker: 1, or 10 of a straggler. `spread` is the σ of a lognormal factor
    of each training. From `death_seconds` on the last `dead` workers are gone; after
    `notice_seconds` their trainings are begun again by others."""

    slowness: tuple[float, ...]
    mean_seconds: float = 60.0
    mean_macs: float | None = None  # of a training that takes so long; None: the budget's
    spread: float = 0.25
    dead: int = 0
    death_seconds: float = 0.0
    notice_seconds: float = 30.0
    seed: int = 0


@dataclass
class Simulated:
    """An evaluator. `driver` adds the CPU time of the loop itself to the clock, during which
    nothing is asked or told."""

    cluster: Cluster
    mean_macs: float
    driver: bool = False
    now: float = 0.0
    busy: float = 0.0
    begun_last: float = 0.0
    busy_then: float = 0.0
    jobs: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._queue: deque[tuple[Job, Future[Evaluation]]] = deque()
        self._idle = deque(range(len(self.cluster.slowness)))
        self._ends: list[tuple[float, int, int, Job, Future[Evaluation], float]] = []
        self._order = itertools.count()
        self._cpu = time.process_time()
        self._costs: dict[str, Cost] = {}

    def evaluate(self, job: Job) -> "Future[Evaluation]":
        """Queue a job."""
        self._pass_driver()
        future: Future[Evaluation] = Future()
        self.jobs.append(job.arch)
        self._queue.append((job, future))
        self._dispatch()
        return future

    def busy_until(self, moment: float) -> float:
        """Worker seconds of training so far."""
        return self.busy + sum(moment - begun for *_, begun in self._ends if begun < moment)

    @property
    def idle_share(self) -> float:
        """Of all workers' time until the last job begins: then there is no work for all."""
        there = len(self.cluster.slowness) * self.begun_last
        gone = self.cluster.dead * max(0.0, self.begun_last - self.cluster.death_seconds)
        return 1 - self.busy_then / (there - gone) if there > gone else 0.0

    def _alive(self, worker: int, moment: float) -> bool:
        dead = worker >= len(self.cluster.slowness) - self.cluster.dead
        return not (dead and moment >= self.cluster.death_seconds)

    def _dispatch(self) -> None:
        while self._queue and self._idle:
            worker = self._idle.popleft()
            if not self._alive(worker, self.now):
                continue
            job, future = self._queue.popleft()
            seconds = self._seconds(job) * self.cluster.slowness[worker]
            end = self.now + seconds
            if not self._alive(worker, end):
                end = self.cluster.death_seconds + self.cluster.notice_seconds
            entry = (end, next(self._order), worker, job, future, self.now)
            heapq.heappush(self._ends, entry)
            self.begun_last, self.busy_then = self.now, self.busy_until(self.now)

    def _seconds(self, job: Job) -> float:
        draw = random.Random(f"{self.cluster.seed} {job.seed} {job.until}")
        share = (job.until or job.epochs) / job.epochs
        factor = math.exp(draw.gauss(-(self.cluster.spread**2) / 2, self.cluster.spread))
        return self.cluster.mean_seconds * share * factor * self._cost(job).macs / self.mean_macs

    def _cost(self, job: Job) -> Cost:
        if job.arch not in self._costs:
            self._costs[job.arch] = count(parse_arch(job.arch), CLASSES)
        return self._costs[job.arch]

    def _result(self, job: Job) -> Evaluation:
        """A stand-in: more multiply-adds and parameters are better, and every seed differs."""
        cost, draw = self._cost(job), random.Random(job.seed)
        loss = 3 - 0.1 * math.log(cost.macs) - 0.05 * math.log(cost.params) + draw.gauss(0, 0.02)
        metrics = {"val_accuracy": 1 / (1 + loss), "val_loss": loss, "train_loss": loss}
        return Evaluation(cost, metrics, {"train": self.cluster.mean_seconds})

    def _pass_driver(self) -> None:
        if self.driver:
            self._end_until(self.now + time.process_time() - self._cpu)
        self._cpu = time.process_time()

    def _end_until(self, moment: float) -> None:
        while self._ends and self._ends[0][0] <= moment:
            self._end_one()
        self.now = max(self.now, moment)

    def _end_one(self) -> None:
        end, _, worker, job, future, begun = heapq.heappop(self._ends)
        self.now = max(self.now, end)
        if self._alive(worker, end):
            self.busy += end - begun
            future.set_result(self._result(job))
            self._idle.append(worker)
        else:
            self.busy += max(0.0, self.cluster.death_seconds - begun)
            self._queue.appendleft((job, future))
        self._dispatch()

    def await_any(self, futures: Collection["Future[Any]"]) -> set["Future[Any]"]:
        """In the place of the loop's own waiting: the clock goes on until one is done."""
        self._pass_driver()
        while not (done := {future for future in futures if future.done()}):
            self._end_one()
        self._cpu = time.process_time()
        return done


@contextmanager
def clock_of(evaluator: Simulated) -> Iterator[None]:
    """Have the loop wait by the simulated clock."""
    real = vars(loop)["await_any"]
    vars(loop)["await_any"] = evaluator.await_any
    try:
        yield
    finally:
        vars(loop)["await_any"] = real


def run_simulated(
    config: RunConfig,
    candidates: SpaceCandidates,
    results: Path,
    cluster: Cluster,
    driver: bool = False,
) -> tuple[Tally, Simulated, StudyFolder]:
    """A study's whole loop in a folder of its own."""
    folder = StudyFolder(str(results), config.study)
    folder.path.mkdir(parents=True, exist_ok=True)
    budget = candidates.budget
    mean = cluster.mean_macs or float(budget.target or budget.most)
    evaluator = Simulated(cluster, mean, driver)
    trials = TrialLoop(config, candidates, folder, evaluator, Silent())
    with clock_of(evaluator):
        tally = trials.run()
    return tally, evaluator, folder


def workers_of(count: int, stragglers: int = 0, slowness: float = 10.0) -> tuple[float, ...]:
    """So many workers, of which the first few are slower."""
    return tuple([slowness] * stragglers + [1.0] * (count - stragglers))


def proposals(folder: StudyFolder) -> Sequence[tuple[int, str]]:
    """What was trained, by trial number."""
    return [(record.number, record.arch) for record in folder.trained()]
