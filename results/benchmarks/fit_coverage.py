"""Does the fit of scaling coefficients find those that are known, and do its intervals hold them?

    python results/benchmarks/fit_coverage.py --repeats 200

A surface with known best coefficients stands for the trainings: accuracy by an additive law (an
error of one falling power per axis) or by a quadratic in logs of its logit, at the networks that
the design of `scaling fit` draws around a B0, plus the noise of seeds. Each repeat draws new noise
(and a new design), fits, chooses the form, and bootstraps, as the command does. Coverage is the
share of the repeats whose 95% interval of α, β or γ holds the known one; a probability is
calibrated when among repeats that say p of "better than" a share p is right.
"""

import argparse
import time

import numpy as np
from harness import check_finite, make_parser, print_foot
from harness import parse as parse_arguments
from numpy.typing import NDArray
from scipy.special import expit

from blocks.arch import parse_arch
from blocks.cost import count
from blocks.zoo import find_arch
from scaling.fitting.choice import FORMS, choose_form
from scaling.fitting.contour import Contour, find_contour
from scaling.fitting.design import BEYOND, LOW, draw_points, repeat_points
from scaling.fitting.lattice import Lattice
from scaling.fitting.observations import Observations, quadratic_features
from scaling.fitting.optimum import find_optimum

Floats = NDArray[np.float64]
SMALL = "r28-i1-s16-[ir_r2_k3_s1_e6_c8_se0.25|ir_r1_k7_s2_e6_c32_se0.25|ir_r2_k7_s2_e4_c32]-h128"


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


SURFACES = {"additive": additive, "quadratic": quadratic, "flat": flat}


def main() -> None:
    arguments = parse()
    for name in arguments.surfaces:
        report(name, arguments, *prepare(arguments.baseline))
    print_foot(arguments)


def parse(given: list[str] | None = None) -> argparse.Namespace:
    parser = make_parser(__doc__)
    parser.add_argument("--repeats", type=int, default=200)
    parser.add_argument("--baseline", default=SMALL, help="a spelling or a published network")
    parser.add_argument("--points", type=int, default=72)
    parser.add_argument("--repeated", type=int, default=6)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--noise", type=float, default=0.005, help="deviation over seeds")
    parser.add_argument("--form", choices=list(FORMS), default=None)
    parser.add_argument("--resamples", type=int, default=500)
    parser.add_argument("--surfaces", nargs="*", default=["additive", "quadratic"])
    return parse_arguments(parser, given, repeats=2, resamples=50)


def prepare(baseline: str) -> tuple[Lattice, Contour]:
    """The networks around a B0, and what costs twice as many macs."""
    arch = parse_arch(baseline) if "-" in baseline else find_arch(baseline)
    lattice = Lattice(arch, 10, "paper", LOW, 1 + BEYOND)
    base = count(arch, 10).macs
    return lattice, find_contour(lattice, lambda c: c.count(10).macs, base, 2.0, 0.03, 0)


def measure(surface: str, repeats: int) -> dict[str, float]:
    """Coverage of each coefficient by the default settings."""
    return report(surface, parse(["--repeats", str(repeats)]), *prepare(SMALL))


def report(
    name: str, arguments: argparse.Namespace, lattice: Lattice, contour: Contour
) -> dict[str, float]:
    """Repeat and print; returns the coverage of each coefficient."""
    truth = SURFACES[name]
    values = truth(contour.logs)
    best = contour.logs[int(values.argmax())]
    rivals = {
        "paper": np.log([1.2, 1.1, 1.15]),
        "uniform": np.array([2.0, 1.0, 1.0]),
        "dwr": np.array([0.1, 0.4, 0.05]),
        "depth": np.array([1.0, 0.0, 0.0]),
        "width": np.array([0.0, 1.0, 0.0]),
        "resolution": np.array([0.0, 0.0, 1.0]),
    }
    placed = {key: contour.along(direction) for key, direction in rivals.items()}
    held, found, said, right, region, forms, loss = [], [], [], [], [], [], []
    started = time.perf_counter()
    for repeat in range(arguments.repeats):
        generator = np.random.default_rng([repeat, 7])
        points = repeat_points(
            draw_points(lattice, arguments.points, 1 + BEYOND, [4], [1.0], repeat),
            arguments.repeated,
            arguments.seeds,
        )
        logs = np.array([point.logs for point in points])
        accuracy = tuple(
            value + arguments.noise * generator.standard_normal(point.trainings)
            for value, point in zip(truth(logs), points, strict=True)
        )
        observations = Observations(logs, accuracy, 1000)
        names = list(FORMS) if arguments.form is None else [arguments.form]
        choice = choose_form(observations, names)
        optimum = find_optimum(
            observations,
            choice,
            contour.logs,
            {key: value for key, value in placed.items() if value is not None},
            arguments.resamples,
            repeat,
        )
        low, high = optimum.intervals.T
        held.append((low - 1e-9 <= best) & (best <= high + 1e-9))
        found.append(optimum.logs)
        region.append(optimum.region[int(values.argmax())])
        forms.append(choice.chosen)
        loss.append(values.max() - truth(optimum.logs[None])[0])
        for key, versus in optimum.versus.items():
            rival = placed[key]
            assert rival is not None  # nothing is compared with what is not there
            said.append(versus.probability)
            right.append(truth(optimum.logs[None])[0] > truth(rival[None])[0])
    seconds = (time.perf_counter() - started) / arguments.repeats
    covered = np.mean(held, axis=0)
    triples = np.exp(found)
    check_finite("coefficients", triples, low=0.5, high=8)
    check_finite("chances", said, low=0, high=1)
    print(
        f"{name}: known {np.exp(best).round(3)}, found mean {triples.mean(0).round(3)}, deviation "
        f"{triples.std(0).round(3)}; coverage {covered.round(3)}; region holds it "
        f"{np.mean(region):.3f}; lost {100 * np.mean(loss):.3f} points; forms "
        f"{ {form: forms.count(form) for form in FORMS} }; {seconds:.2f} s each"
    )
    chances, truths = np.array(said), np.array(right, dtype=float)
    print(f"  Brier score of P(better): {((chances - truths) ** 2).mean():.4f}")
    for low, high in ((0.0, 0.5), (0.5, 0.7), (0.7, 0.9), (0.9, 0.975), (0.975, 1.01)):
        inside = (chances >= low) & (chances < high)
        if inside.any():
            print(
                f"  said {chances[inside].mean():.3f}: right {truths[inside].mean():.3f} of "
                f"{int(inside.sum())}"
            )
    return dict(zip(("alpha", "beta", "gamma"), covered.tolist(), strict=True))


if __name__ == "__main__":
    main()
