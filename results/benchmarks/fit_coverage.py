"""Does the fit of scaling coefficients find those that are known, and do its intervals hold them?

    python results/benchmarks/fit_coverage.py --repeats 200

A surface whose best coefficients are known stands for the trainings: accuracy at the networks that
the design of `scaling fit` draws around a B0, plus the noise of seeds. Each repeat draws new noise
and a new design, and infers, as the command does. Coverage is the share of the repeats whose 95%
interval holds the known value: of α, β and γ, and of the differences to six other ways to scale.
Probabilities of being better are calibrated when among those that say p a share p is right (half,
where it is a tie); that is shown over all surfaces together.
"""

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from harness import check_finite, make_parser, print_foot
from harness import parse as parse_arguments
from numpy.typing import NDArray
from scipy.special import expit

from blocks.arch import parse_arch
from blocks.cost import count
from blocks.zoo import find_arch
from scaling.fitting.contour import Contour, find_contour, quadratic_features
from scaling.fitting.design import BEYOND, LOW, draw_points, repeat_points
from scaling.fitting.lattice import Lattice
from scaling.fitting.observations import Observations
from scaling.fitting.optimum import CAUTION, TIE, find_optimum
from scaling.fitting.polynomials import POWERS
from scaling.fitting.posterior import infer

Floats = NDArray[np.float64]
SMALL = "r28-i1-s16-[ir_r2_k3_s1_e6_c8_se0.25|ir_r1_k7_s2_e6_c32_se0.25|ir_r2_k7_s2_e4_c32]-h128"
BINS = ((0.0, 0.25), (0.25, 0.5), (0.5, 0.7), (0.7, 0.9), (0.9, 0.975), (0.975, 1.01))


def additive(logs: Floats) -> Floats:
    """Best at constant ratios ln α : ln β : ln γ = 1/p : 1/q : 1/s for large costs."""
    error = 0.06 + 0.03 * np.exp(-0.8 * logs[:, 0])
    return 1 - error - 0.03 * np.exp(-1.3 * logs[:, 1]) - 0.034 * np.exp(-1.3 * logs[:, 2])


def quadratic(logs: Floats) -> Floats:
    """Best near (1.2, 1.2, 1.2)."""
    coefficients = np.array([2.0, 0.3, 0.6, 0.6, -0.35, 0.1, 0.05, -0.7, 0.1, -0.7])
    return np.asarray(expit(quadratic_features(logs) @ coefficients))


def flat(logs: Floats) -> Floats:
    """Cost is all that counts: no direction is better than another."""
    return np.asarray(expit(2.0 + 0.2 * logs @ np.array([1.0, 2.0, 2.0])))


def steep(logs: Floats) -> Floats:
    """Depth is worth most, width nearly nothing: the best is at an edge."""
    error = 0.05 + 0.06 * np.exp(-1.2 * logs[:, 0]) + 0.015 * np.exp(-1.0 * logs[:, 1])
    return np.asarray(1 - error - 0.02 * np.exp(-3.0 * logs[:, 2]))


def cubic(logs: Floats) -> Floats:
    """A logit of the third degree in doublings: resolution helps less and less, then harms."""
    doublings = logs * np.array(POWERS) / np.log(2)
    depth, _, side = doublings.T
    logit = 1.8 + 0.18 * doublings.sum(1) - 0.05 * (doublings**2).sum(1)
    return np.asarray(expit(logit + 0.1 * side - 0.06 * side**3 + 0.03 * depth * doublings[:, 1]))


SURFACES = {
    "additive": additive,
    "quadratic": quadratic,
    "flat": flat,
    "steep": steep,
    "cubic": cubic,
}


@dataclass(frozen=True)
class Repeats:
    """What the repeats of one surface said. `held` (repeats, 3): whether an interval holds the
    known coefficient; of each comparison whether its interval `holds` the difference, the
    probability that was `said`, and whether it was `right`; `triples` (repeats, 3)."""

    held: NDArray[np.bool_]
    holds: NDArray[np.bool_]
    said: Floats
    right: Floats
    triples: Floats
    lost: Floats
    seconds: float

    @property
    def coverage(self) -> dict[str, float]:
        """Of each coefficient."""
        return dict(zip(("alpha", "beta", "gamma"), self.held.mean(0).tolist(), strict=True))


def main() -> None:
    arguments = parse()
    lattice, contour = prepare(arguments.baseline)
    for points in arguments.points:
        found = {}
        for name in arguments.surfaces:
            found[name] = measure(name, points, arguments, lattice, contour)
            show(name, points, found[name])
        reliability(points, list(found.values()))
    print_foot(arguments)


def parse(given: list[str] | None = None) -> argparse.Namespace:
    parser = make_parser(__doc__)
    parser.add_argument("--repeats", type=int, default=200)
    parser.add_argument("--baseline", default=SMALL, help="a spelling or a published network")
    parser.add_argument("--points", type=int, nargs="+", default=[24, 31, 43, 72])
    parser.add_argument("--repeated", type=int, default=4)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--noise", type=float, default=0.005, help="deviation over seeds")
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--caution", type=float, default=CAUTION, help="of the choice")
    parser.add_argument("--surfaces", nargs="*", default=list(SURFACES), choices=list(SURFACES))
    return parse_arguments(
        parser, given, repeats=3, draws=100, points=[24], surfaces=["additive", "flat"]
    )


def prepare(baseline: str) -> tuple[Lattice, Contour]:
    """The networks around a B0, and what costs twice as many macs."""
    arch = parse_arch(baseline) if "-" in baseline else find_arch(baseline)
    lattice = Lattice(arch, 10, "paper", LOW, 1 + BEYOND)
    return lattice, macs_contour(lattice, 2.0)


def macs_contour(lattice: Lattice, cost: float) -> Contour:
    """What costs so many times B0's macs."""
    classes = lattice.num_classes
    base = count(lattice.baseline, classes).macs
    return find_contour(lattice, lambda c: c.count(classes).macs, base, cost, 0.03, 0)


def measure(
    name: str, points: int, arguments: argparse.Namespace, lattice: Lattice, contour: Contour
) -> Repeats:
    """Repeat the fit of one surface."""
    truth = SURFACES[name]
    values = truth(contour.logs)
    best = contour.logs[int(values.argmax())]
    rivals = contour.rivals()
    held, holds, said, right, triples, lost = [], [], [], [], [], []
    started = time.perf_counter()
    for repeat in range(arguments.repeats):
        generator = np.random.default_rng([repeat, 7])
        drawn = repeat_points(
            draw_points(lattice, points, 1 + BEYOND, [4], [1.0], repeat),
            arguments.repeated,
            arguments.seeds,
        )
        logs = np.array([point.logs for point in drawn])
        accuracy = tuple(
            value + arguments.noise * generator.standard_normal(point.trainings)
            for value, point in zip(truth(logs), drawn, strict=True)
        )
        posterior = infer(Observations(logs, accuracy, 1000), arguments.draws, repeat)
        optimum = find_optimum(
            posterior, contour.logs, rivals, steps=lattice.steps, caution=arguments.caution
        )
        low, high = optimum.intervals.T
        held.append((low - 1e-9 <= best) & (best <= high + 1e-9))
        triples.append(np.exp(optimum.logs))
        here = truth(optimum.logs[None])[0]
        lost.append(values.max() - here)
        for key, versus in optimum.versus.items():
            difference = here - truth(rivals[key][None])[0]
            holds.append(versus.interval[0] <= difference <= versus.interval[1])
            said.append(versus.probability)
            right.append(0.5 if abs(difference) <= TIE else float(difference > 0))
    check_finite("coefficients", triples, low=0.5, high=8)
    check_finite("chances", said, low=0, high=1)
    return Repeats(
        np.array(held), np.array(holds), np.array(said), np.array(right), np.array(triples),
        np.array(lost), (time.perf_counter() - started) / arguments.repeats,
    )  # fmt: skip


def show(name: str, points: int, found: Repeats) -> None:
    """Print what one surface's repeats say."""
    covered = ", ".join(f"{share:.3f}" for share in found.coverage.values())
    print(
        f"{name:10} {points} networks: intervals hold α, β, γ {covered}; differences "
        f"{found.holds.mean():.3f}; found mean {found.triples.mean(0).round(2)}, "
        f"lost {100 * found.lost.mean():.3f} points; {found.seconds:.2f} s each",
        flush=True,
    )


def reliability(points: int, found: Sequence[Repeats]) -> None:
    """Print how often those that said p were right, over all surfaces."""
    said = np.concatenate([each.said for each in found])
    right = np.concatenate([each.right for each in found])
    print(f"P(better) with {points} networks, over all surfaces:")
    for low, high in BINS:
        inside = (said >= low) & (said < high)
        if inside.any():
            print(
                f"  said {said[inside].mean():.3f}: right {right[inside].mean():.3f} of "
                f"{int(inside.sum())}"
            )


if __name__ == "__main__":
    main()
