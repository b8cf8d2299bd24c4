"""The latency predictor against one that knows macs alone, on networks that neither has seen.

    python results/benchmarks/latency_predictor.py --minutes 3

Random networks are measured unit by unit and a latency table is fitted. A power law of macs,
milliseconds = factor · macs^power, is fitted on the same networks, measured whole. Both then
predict held-out random networks and networks of the zoo, measured in the same run, by turns with
those of the fit. `--table` takes a table that was measured before instead of measuring.
"""

import time
from pathlib import Path

import numpy as np
from harness import check, check_finite, make_parser, parse, print_foot

from blocks.arch import parse_arch
from blocks.cost import count
from blocks.latency.build import build_table
from blocks.latency.held_out import HeldOut, prediction_error
from blocks.latency.interpolate import power_law
from blocks.latency.predict import Predictor
from blocks.latency.table import LatencyTable, read_table


def macs_of(spelling: str, num_classes: int) -> int:
    return count(parse_arch(spelling), num_classes).macs


def macs_predictions(table: LatencyTable, networks: list[HeldOut]) -> list[float]:
    """Milliseconds by the power law of macs that fits the table's own networks."""
    macs = [macs_of(each.arch, each.num_classes) for each in table.networks]
    factor, power = power_law(macs, [each.measured_ms for each in table.networks])
    return [factor * macs_of(each.arch, each.num_classes) ** power for each in networks]


def compare(name: str, table: LatencyTable, networks: list[HeldOut]) -> None:
    measured = [each.measured_ms for each in networks]
    by_units = prediction_error(measured, [each.predicted_ms for each in networks])
    by_macs = prediction_error(measured, macs_predictions(table, networks))
    ratio = by_macs.median_percent / by_units.median_percent
    print(f"{name}: {ratio:.1f} times less median error than macs alone")
    print(f"  predictor  {by_units}")
    print(f"  macs alone {by_macs}")


def predictions_per_second(table: LatencyTable, networks: list[HeldOut]) -> tuple[float, float]:
    """For networks never predicted before, and again."""
    predictor = Predictor(table)
    archs = [(parse_arch(each.arch), each.num_classes) for each in networks]
    rates = []
    for _ in range(2):
        started = time.perf_counter()
        for arch, num_classes in archs:
            predictor.predict_ms(arch, num_classes)
        rates.append(len(archs) / (time.perf_counter() - started))
    return rates[0], rates[1]


def main() -> None:
    parser = make_parser(__doc__, seed=0)
    parser.add_argument("--minutes", type=float, default=3.0)
    parser.add_argument("--runtime", default="eager")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--table", type=Path)
    arguments = parse(parser, minutes=0.01)
    if arguments.table is not None:
        table = read_table(arguments.table)
    else:
        table = build_table(
            runtime=arguments.runtime,
            threads=arguments.threads,
            batch=arguments.batch,
            minutes=arguments.minutes,
            seed=arguments.seed,
        )
    print(table.describe())
    both = [*table.random, *table.zoo]
    inside = [each for each in both if each.outside is None]
    compare("random networks", table, table.random)
    compare("networks of the zoo", table, table.zoo)
    compare("both", table, both)
    if inside:
        compare("both, inside the measured range", table, inside)
    first, again = predictions_per_second(table, both)
    print(f"{first:,.0f} predictions per second of new networks, {again:,.0f} of known units")
    low, median, high = np.percentile([each.measured_ms for each in both], [0, 50, 100])
    print(f"measured from {low:.2f} to {high:.1f} ms, median {median:.1f}")
    check(len(both) == len(table.random) + len(table.zoo) >= 6, "too few networks were held out")
    check_finite("predictions", [each.predicted_ms for each in both], low=1e-3, high=1e5)
    check_finite("predictions per second", [first, again], low=1)
    print_foot(arguments, "onnxruntime")


if __name__ == "__main__":
    main()
