"""May a fit of so many real trainings be believed? Subsamples of a bank against the whole of it.

    python results/benchmarks/fit_calibration.py --points 24 31 43 72 --repeats 200

The bank holds networks that scaling makes of one B0, really trained (`results/banks`). Each repeat
takes some of those that a fit's own design reaches, B0 and the first of them with all their seeds,
and infers as the command does. What all of the bank says stands for the truth, or with `--within`
what those of its networks say that a design reaches: coverage is the share of the repeats whose 95%
interval holds it. Bank and subsample share trainings, so it is a little too high where a subsample
is a large part of the bank.

The same with the candidates of a search taken in, for which a bank of random members of the same
images stands: do fewer networks then teach as much?

The same with more networks, each trained for fewer epochs, so that all take as many epochs as the
first of `--points`: what a fit by short trainings would say. The epochs are the first ones of the
bank's own schedule.

Then, from all of the bank: does what is best at twice B0's macs hold further up? At each cost the
direction of twice the macs is compared with the best one there.
"""

import argparse
import math
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from fit_coverage import Repeats, macs_contour, reliability, show
from harness import check_finite, make_parser, parse, print_foot
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "banks"))

from banks import BANKS, SCALED, Bank, Schedule, shipped
from table import read_lines

from blocks.arch import parse_arch
from blocks.cost import count
from scaling.differences import in_points
from scaling.fitting.further import Further, as_near, candidate_point
from scaling.fitting.lattice import Floats, realised_logs
from scaling.fitting.observations import Observations
from scaling.fitting.optimum import CAUTION, Optimum, chance_of_better, find_optimum
from scaling.fitting.posterior import Posterior, infer
from search.record.trials import TrialRecord, read_records

NONE = Further()
TWENTY = 20
"""Fits of which no two should contradict each other."""


@dataclass(frozen=True)
class Trained:
    """Networks of a bank by one schedule, B0 first. `logs` (networks, 3), `ratios` (networks,) of
    macs over B0's, `accuracy` of each training: on the test images where the schedule reads them.
    """

    bank: Bank
    logs: Floats
    ratios: Floats
    accuracy: tuple[Floats, ...]
    images: int

    def observations(self, rows: Sequence[int], repeated: int | None = None) -> Observations:
        """Of some networks; with `repeated`, only the first so many with all of their seeds."""
        kept = [
            self.accuracy[row][: None if repeated is None or place < repeated else 1]
            for place, row in enumerate(rows)
        ]
        return Observations(self.logs[list(rows)], tuple(kept), self.images)

    @cached_property
    def reach(self) -> NDArray[np.intp]:
        """The rows, but B0's, that a fit's own design reaches."""
        return np.flatnonzero(self.ratios[1:] <= 2 ** SCALED[0]) + 1

    @cached_property
    def steps(self) -> Floats:
        """Logs of the least growth along each axis."""
        return self.bank.lattice(SCALED[0]).steps


def main() -> None:
    parser = make_parser(__doc__)
    parser.add_argument("--bank", default="fashion_scaled")
    parser.add_argument("--schedules", nargs="+", default=["fit", "long"])
    parser.add_argument("--points", type=int, nargs="*", default=[24, 31, 43, 72])
    parser.add_argument("--repeats", type=int, default=200)
    parser.add_argument("--repeated", type=int, default=4)
    parser.add_argument("--short", type=int, nargs="*", default=[2, 3], help="epochs")
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--within", action="store_true", help="truth: networks that a fit reaches")
    parser.add_argument("--caution", type=float, default=CAUTION, help="of the choice")
    parser.add_argument(
        "--candidates", default="fashion:mid",
        help="to take in: a bank of the same images and its schedule, or a search's trials.jsonl",
    )  # fmt: skip
    parser.add_argument("--beside", type=int, nargs="*", default=[12, 24], help="networks")
    parser.add_argument("--costs", type=float, nargs="+", default=[2.0, 4.0, 7.0])
    arguments = parse(
        parser, repeats=3, points=[24], draws=100, schedules=["fit"], costs=[2.0, 4.0],
        short=[2], beside=[12],
    )  # fmt: skip
    bank = BANKS[arguments.bank]
    for schedule in bank.schedules:
        if schedule.name in arguments.schedules:
            trained = read(bank, schedule)
            trainings = sum(len(each) for each in trained.accuracy)
            print(f"{bank.name}, {schedule.name}: {len(trained.logs)} networks, {trainings} "
                  "trainings")  # fmt: skip
            everything = trained.observations(range(len(trained.logs)))
            whole = infer(everything, 4 * arguments.draws, 0)
            truth = whole
            if arguments.within:
                near = trained.observations([0, *trained.reach])
                truth = infer(near, 4 * arguments.draws, 0)
            calibrate(trained, truth, schedule.name, arguments.points, arguments)
            for taken_in in (NONE, candidates_of(trained, arguments.candidates)):
                what = f"{schedule.name}, {len(taken_in.points)} candidates"
                calibrate(trained, truth, what, arguments.beside, arguments, taken_in)
            for epochs in arguments.short:
                if schedule.test or epochs not in schedule.looks:
                    continue  # the test images are read at the end alone
                more = arguments.points[0] * schedule.epochs // epochs
                short = read(bank, schedule, epochs)
                calibrate(short, truth, f"{schedule.name}, {epochs} epochs", [more], arguments)
            transfer(trained, whole, arguments.costs)  # what all of the bank says
    print_foot(arguments)


def read(bank: Bank, schedule: Schedule, epochs: int | None = None) -> Trained:
    """What the shipped bank has of this schedule: at its end, or after so many epochs of it."""
    assert bank.baseline is not None
    baseline = parse_arch(bank.baseline)
    found: dict[str, dict[int, float]] = {bank.baseline: {}}
    for line in read_lines(shipped(bank.name)):
        if line["schedule"] == schedule.name:
            value = line["test"][1] if schedule.test else accuracy_after(line["curve"], epochs)
            found.setdefault(line["arch"], {})[line["replicate"]] = value
    archs = [parse_arch(arch) for arch in found]
    base = count(baseline, bank.classes).macs
    accuracy = tuple(np.array([of[seed] for seed in sorted(of)]) for of in found.values())
    check_finite("accuracies", np.concatenate(accuracy), low=0.05, high=1)
    return Trained(
        bank,
        np.array([realised_logs(baseline, arch, bank.classes) for arch in archs]),
        np.array([count(arch, bank.classes).macs / base for arch in archs]),
        accuracy,
        10_000 if schedule.test else 1_000,
    )


def candidates_of(trained: Trained, given: str) -> Further:
    """What a search has trained to the end, or members of a bank by a schedule (BANK:SCHEDULE),
    as if one had."""
    assert trained.bank.baseline is not None
    baseline, classes = parse_arch(trained.bank.baseline), trained.bank.classes
    base = count(baseline, classes).macs
    found: dict[str, list[float]] = {}
    if given.endswith(".jsonl"):
        for record in read_records(Path(given)):
            if isinstance(record, TrialRecord) and not record.stopped:
                found.setdefault(record.arch, []).append(record.metrics["val_accuracy"])
    else:
        name, _, schedule = given.partition(":")
        for line in read_lines(shipped(name)):
            if line["schedule"] == schedule:
                found.setdefault(line["arch"], []).append(accuracy_after(line["curve"], None))
    design = trained.logs[trained.ratios <= 2 ** SCALED[0]]
    points = (
        candidate_point(
            baseline, arch, (arch,), count(parse_arch(arch), classes).macs / base, tuple(values)
        )
        for arch, values in found.items()
    )
    near = tuple(point for point in points if as_near(np.array(point.logs), design))
    return Further(near, ((given, given),))


def accuracy_after(curve: Sequence[Sequence[float]], epochs: int | None) -> float:
    """Of a curve of (epoch, loss, accuracy) the accuracy after so many epochs; None: at its end."""
    return next(point[2] for point in reversed(curve) if epochs is None or point[0] == epochs)


def calibrate(
    trained: Trained,
    whole: Posterior,
    name: str,
    sizes: Sequence[int],
    arguments: argparse.Namespace,
    further: Further = NONE,
) -> None:
    """Compare subsamples of these sizes, with `further` networks beside them, with the whole."""
    contour = macs_contour(trained.bank.lattice(SCALED[0]), 2.0)
    rivals = contour.rivals()
    best = find_optimum(whole, contour.logs, rivals, steps=trained.steps, caution=0)
    reach = trained.reach
    for points in sizes:
        if points > len(reach) + 1:
            print(f"  {points} networks: only {len(reach) + 1} are there")
            continue
        repeats, intervals = [], []
        started = time.perf_counter()
        for repeat in range(arguments.repeats):
            generator = np.random.default_rng([repeat, 11])
            rows = [0, *generator.choice(reach, points - 1, replace=False)]
            known = further.added_to(trained.observations(rows, arguments.repeated))
            posterior = infer(known, arguments.draws, repeat)
            optimum = find_optimum(
                posterior, contour.logs, rivals, steps=trained.steps, caution=arguments.caution
            )
            repeats.append(against(optimum, best, whole, rivals))
            compared = [optimum.versus[rival].interval for rival in rivals]
            intervals.append([*optimum.intervals.tolist(), *compared])
        seconds = (time.perf_counter() - started) / arguments.repeats
        held, holds, said, right, triples, lost = zip(*repeats, strict=True)
        found = Repeats(
            np.array(held), np.array(holds), np.concatenate(said), np.concatenate(right),
            np.array(triples), np.array(lost), seconds,
        )  # fmt: skip
        show(name, points, found)
        reliability(points, [found])
        low, high = np.array(intervals)[:, 3 + list(rivals).index("paper")].T
        print(
            f"  better than the paper's in {(low > 0).mean():.3f}, worse in "
            f"{(high < 0).mean():.3f} of {len(low)}; {contradictions(intervals[:TWENTY])} of "
            f"{math.comb(min(TWENTY, len(low)), 2)} pairs contradict each other"
        )


def contradictions(intervals: Sequence[Sequence[Sequence[float]]]) -> int:
    """Pairs of fits of which one says of a coefficient or a difference what the other excludes:
    their 95% intervals have nothing in common."""
    lows, highs = np.moveaxis(np.array(intervals), -1, 0)
    apart = lows[:, None] > highs[None] + 1e-9
    either = (apart | apart.transpose(1, 0, 2)).any(-1)
    return int(np.triu(either, 1).sum())


def against(
    optimum: Optimum,
    best: Optimum,
    whole: Posterior,
    rivals: dict[str, Floats],
) -> tuple[Floats, Floats, Floats, Floats, Floats, float]:
    """What one subsample says beside the whole, as `Repeats` has it."""
    places = np.array([optimum.logs, *rivals.values()])
    surfaces = whole.predict(places)
    ahead = surfaces[:, [0]] - surfaces[:, 1:]
    low, high = optimum.intervals.T
    versus = [optimum.versus[name] for name in rivals]
    holds = [each.interval[0] <= value <= each.interval[1]
             for each, value in zip(versus, ahead.mean(0), strict=True)]  # fmt: skip
    return (
        (low - 1e-9 <= best.logs) & (best.logs <= high + 1e-9),
        np.array(holds),
        np.array([each.probability for each in versus]),
        # How likely the whole says it is: it does not know all either.
        chance_of_better(ahead),
        np.exp(optimum.logs),
        float(best.expected.max() - surfaces[:, 0].mean()),
    )


def transfer(trained: Trained, whole: Posterior, costs: Sequence[float]) -> None:
    """Is what is best at the first cost best at the others too?"""
    lattice = trained.bank.lattice(SCALED[1])
    first: Floats | None = None
    for cost in costs:
        contour = macs_contour(lattice, cost)
        rivals = contour.rivals()
        if first is not None and (place := contour.along(first)) is not None:
            rivals["first"] = place
        optimum = find_optimum(whole, contour.logs, rivals, steps=trained.steps, caution=0)
        first = optimum.logs if first is None else first
        say(f"at {cost:g} times B0's macs", optimum, whole)


def say(what: str, optimum: Optimum, whole: Posterior) -> None:
    """Print an optimum with its intervals and rivals."""
    triple = ", ".join(
        f"{value:.2f} ({low:.2f} to {high:.2f})"
        for value, (low, high) in zip(np.exp(optimum.logs), np.exp(optimum.intervals), strict=True)
    )
    print(f"  {what}: depth, width, resolution {triple}")
    print(
        f"    {optimum.region.mean():.0%} not told apart; one out {100 * whole.leave_one_out:.2f}, "
        f"a seed {100 * whole.noise:.2f} points"
    )
    for name, each in optimum.versus.items():
        label = "direction of the first cost" if name == "first" else name
        points = in_points(each.difference, *each.interval)
        print(f"    less {label}: {points}, P(better) {each.probability:.2f}")


if __name__ == "__main__":
    main()
