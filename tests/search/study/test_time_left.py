"""What is said of the time left: right for trainings that differ, are stopped, or were resumed."""

import heapq
import random
from collections.abc import Sequence

import pytest

from blocks.cost import Cost
from search.record.trials import TrialRecord
from search.study.time_left import TimeLeft

EPOCHS = 12


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def trained(macs: int, epochs: int, seconds: float) -> TrialRecord:
    fidelity = {"epochs": epochs} if epochs == EPOCHS else {"epochs": epochs, "of": EPOCHS}
    cost = Cost(1, macs, macs, 1)
    return TrialRecord(0, "a", cost, {}, 0, fidelity, {"train": seconds}, {})


def said(
    records: Sequence[TrialRecord], time: TimeLeft, clock: Clock, listed: bool, workers: int = 3
) -> list[tuple[float, float]]:
    """(left as said, left in truth) after each training, `workers` at a time, each of which loads
    its libraries for 20 s first."""
    time.begin()
    work = [record.cost.macs * record.fidelity["epochs"] for record in records]
    if listed:
        time.queued(work)
    running: list[tuple[float, int, float]] = []
    waiting = list(range(len(records)))
    ends, found, clock.now = [], [], 20.0
    while waiting or running:
        while waiting and len(running) < workers:
            place = waiting.pop(0)
            seconds = sum(records[place].seconds.values())
            heapq.heappush(running, (clock.now + seconds, place, seconds))
        clock.now, place, _ = heapq.heappop(running)
        time.ended(records[place], work[place] if listed else None)
        epochs = [
            (int(records[at].fidelity["epochs"] * (1 - (end - clock.now) / took)), EPOCHS)
            for end, at, took in running
        ]
        ends.append(clock.now)
        found.append(time.left(len(waiting) + len(running), epochs))
    return [(left or 0.0, ends[-1] - end) for left, end in zip(found, ends, strict=True)]


def worst(pairs: Sequence[tuple[float, float]]) -> float:
    """The greatest error from a quarter of the way on, as a share of the whole time."""
    whole = pairs[0][1]
    return max(abs(left - truth) for left, truth in pairs[len(pairs) // 4 :]) / whole


def test_networks_of_other_cost_are_told_by_their_work() -> None:
    """The largest first, as lists are trained: the mean of those that ended is far too long."""
    records = [trained(macs, EPOCHS, macs / 10) for macs in range(3000, 300, -60)]
    clock = Clock()
    time = TimeLeft(clock=clock)
    assert worst(said(records, time, clock, listed=True)) < 0.05


def test_where_work_says_nothing_the_mean_does() -> None:
    draw = random.Random(0)
    records = [
        trained(draw.randrange(100, 10_000), EPOCHS, draw.uniform(58, 62)) for _ in range(40)
    ]
    clock = Clock()
    assert worst(said(records, TimeLeft(clock=clock), clock, listed=True)) < 0.08


def test_trials_that_a_pruner_stops_count_as_they_come() -> None:
    draw = random.Random(1)
    lengths = [draw.choice((3, 3, 6, EPOCHS)) for _ in range(60)]
    records = [trained(1000, epochs, 10.0 * epochs) for epochs in lengths]
    clock = Clock()
    assert worst(said(records, TimeLeft(clock=clock), clock, listed=False)) < 0.2


def test_a_study_that_goes_on_is_timed_by_this_run_alone() -> None:
    """What an earlier run trained took ten times as long, on another machine."""
    clock = Clock()
    time = TimeLeft(clock=clock)
    for _ in range(20):
        time.known(trained(1000, EPOCHS, 600.0))
    records = [trained(1000, EPOCHS, 60.0)] * 20
    assert worst(said(records, time, clock, listed=False)) < 0.1


def test_nothing_is_said_before_it_is_known_and_a_limit_holds() -> None:
    clock = Clock()
    time = TimeLeft(limit=100.0, clock=clock)
    time.begin()
    assert TimeLeft(clock=clock).left(5) is None
    assert time.an_hour() is None
    assert time.left(5) == 100
    clock.now = 30.0
    time.ended(trained(1000, EPOCHS, 30.0))
    assert time.left(1000) == pytest.approx(70)
    assert time.an_hour() == pytest.approx(120)
    assert time.left(2, [(6, EPOCHS)]) == pytest.approx(30 * 1.5 / 1.5)
    assert time.left(0) == 0
