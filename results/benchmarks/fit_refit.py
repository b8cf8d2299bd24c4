"""Does a fit that takes trained members in (`fit.trained=true`) predict a further member better?

    python results/benchmarks/fit_refit.py --repeats 100

A fit's design of 24 networks up to 2.8 times B0's macs stands for its short trainings. B0 and two
larger members, of about two and four times its macs, stand for those that were trained for good.
Asked is by how much networks of 6 and more times B0's macs are ahead of B0, trained for good: by
the design alone, and by both together. `error` is the root mean square over networks and repeats,
`held` the share of the 95% intervals that hold what was measured, `width` how wide they are.

First on a bank of real trainings (`results/banks`): short ones are the first epochs of its
schedule, long ones all of it. Then on surfaces that are known, of which those for good lie higher,
and are as steep, steeper or less steep.
"""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from fit_calibration import read
from harness import check_finite, make_parser, parse, print_foot
from scipy.special import expit, logit

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "banks"))

from banks import BANKS

from scaling.fitting.observations import Floats, Observations
from scaling.fitting.posterior import Posterior, doublings, infer

SMALL = 2.83
"""Times B0's macs: the largest of a fit's own design."""
MEMBERS = ((1.6, 2.5), (3.2, 4.8))
FURTHER = 6.0
IMAGES = 1000
NOISE = 0.03
"""Of a synthetic training, in logits."""
NOISES = ("network", "seed", "otherwise")
"""Scales of a posterior: what a training is off the surface by."""
Accuracies = Callable[[Sequence[int], np.random.Generator], Floats]


@dataclass(frozen=True)
class Case:
    """Networks by `logs` (networks, 3) and `ratios` of macs, B0 first; `short` and `long` train
    some of them: accuracies."""

    name: str
    logs: Floats
    ratios: Floats
    short: Accuracies
    long: Accuracies


def main() -> None:
    parser = make_parser(__doc__)
    parser.add_argument("--bank", default="fashion_scaled")
    parser.add_argument("--repeats", type=int, default=100)
    parser.add_argument("--points", type=int, default=24)
    parser.add_argument("--draws", type=int, default=1000)
    arguments = parse(parser, repeats=2, points=12, draws=100)
    for case in cases(arguments.bank):
        judge(case, arguments.repeats, arguments.points, arguments.draws)
    print_foot(arguments)


def cases(name: str) -> list[Case]:
    """The bank after two and three of four epochs, and three surfaces at its networks."""
    bank = BANKS[name]
    schedule = next(each for each in bank.schedules if each.name == "fit")
    whole = read(bank, schedule)
    final = np.array([each[0] for each in whole.accuracy])
    found = []
    for epochs in (2, 3):
        short = np.array([each[0] for each in read(bank, schedule, epochs).accuracy])
        found.append(
            Case(
                f"{bank.name}, {epochs} of {schedule.epochs} epochs",
                whole.logs,
                whole.ratios,
                of_table(short),
                of_table(final),
            )
        )
    cost = doublings(whole.logs)
    surface = 1.5 + 0.25 * cost - 0.02 * cost**2 + 0.05 * whole.logs[:, 0]
    for words, steeper in (("as steep", 0.0), ("steeper", 0.04), ("less steep", -0.04)):
        above = surface + 0.6 + steeper * cost
        found.append(
            Case(
                f"known surface, {words} for good",
                whole.logs,
                whole.ratios,
                of_surface(surface),
                of_surface(above),
            )
        )
    return found


def of_table(accuracy: Floats) -> Accuracies:
    """Trainings that are in a bank."""
    return lambda rows, _: accuracy[list(rows)]


def of_surface(logits: Floats) -> Accuracies:
    """Trainings of networks on a surface."""

    def trained(rows: Sequence[int], draw: np.random.Generator) -> Floats:
        own = logits[list(rows)]
        return np.asarray(expit(own + draw.normal(0, NOISE, len(own))))

    return trained


def judge(case: Case, repeats: int, points: int, draws: int) -> None:
    """Both fits of one case, over many designs."""
    found: dict[str, list[tuple[float, float, float, float]]] = {}
    further = [int(row) for row in np.flatnonzero(case.ratios >= FURTHER)]
    for repeat in range(repeats):
        draw = np.random.default_rng([repeat, 7])
        small = np.flatnonzero(case.ratios[1:] <= SMALL) + 1
        design = [0, *draw.choice(small, points - 1, replace=False)]
        left = np.setdiff1d(np.arange(1, len(case.logs)), design)
        members = [0]
        for low, high in MEMBERS:
            inside = left[(case.ratios[left] >= low) & (case.ratios[left] <= high)]
            members.append(int(draw.choice(inside)))
        short = tuple(case.short([row], draw) for row in design)
        alone = Observations(case.logs[design], short, IMAGES)
        reached = case.long(members, draw)
        both = Observations(
            case.logs[[*design, *members]],
            (*short, *(reached[[place]] for place in range(len(members)))),
            IMAGES,
            (*[0] * len(design), *[1] * len(members)),
        )
        truth = case.long(further, draw) - reached[0]
        for name, observations in (("design alone", alone), ("with members", both)):
            posterior = infer(observations, draws, repeat)
            said = predicted(posterior, case.logs[further], float(reached[0]), repeat)
            low, high = np.quantile(said, [0.025, 0.975], axis=0)
            missed = said.mean(0) - truth
            found.setdefault(name, []).append(
                (
                    float((missed**2).mean()),
                    float(missed.mean()),
                    float(((low <= truth) & (truth <= high)).mean()),
                    float((high - low).mean()),
                )
            )
    print(f"{case.name}: {len(further)} networks of {FURTHER:g} and more times B0's macs")
    for name, rows in found.items():
        square, bias, held, width = np.mean(rows, axis=0)
        check_finite("errors", np.array([square, width]), low=0)
        spread = np.std(np.sqrt([row[0] for row in rows]))
        print(
            f"  {name}: error {100 * np.sqrt(square):.2f} points (of a fit, ± {100 * spread:.2f}), "
            f"on average {100 * bias:+.2f}; held {held:.2f}, width {100 * width:.1f}"
        )


def predicted(posterior: Posterior, logs: Floats, base: float, seed: int) -> Floats:
    """(draws, networks): the gain over B0 that a training of each would show."""
    schedule = int(posterior.observations.schedule.max())
    origin = np.zeros((1, logs.shape[1]))
    own, first = (logit(posterior.predict(each, schedule)) for each in (logs, origin))
    scales = [posterior.scale(name) for name in posterior.names if name in NOISES]
    deviation = np.sqrt(2 * np.sum(np.square(scales)))  # of both networks
    around = np.random.default_rng(seed).normal(0, deviation, own.shape)
    return np.asarray(expit(logit(base) + own - first + around) - base)


if __name__ == "__main__":
    main()
