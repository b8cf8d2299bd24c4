"""`python -m blocks predict ARCH [ARCH …] --table FILE`."""

import argparse
from pathlib import Path

from blocks.console import console
from blocks.latency.device import device_name
from blocks.subject import read_subject


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "arch", nargs="+", help="a name of the zoo, a spelling, or a YAML file of a family"
    )
    parser.add_argument(
        "--table", type=Path, required=True, metavar="FILE", help="that latency-table wrote"
    )
    parser.add_argument("--num-classes", type=int, default=None, metavar="N")
    parser.add_argument(
        "--device",
        default=None,
        metavar="NAME",
        help="that the table must be of (default: this machine's processor)",
    )
    for name in ("threads", "batch"):
        parser.add_argument(
            f"--{name}", type=int, metavar="N", help="that the table must be of (default: any)"
        )
    parser.add_argument("--runtime", help="that the table must be of (default: any)")


def run(arguments: argparse.Namespace) -> None:
    from blocks.latency.predict import load_predictor

    subjects = [read_subject(text, arguments.num_classes) for text in arguments.arch]
    predictor = load_predictor(arguments.table)
    table = predictor.table
    table.check(
        arguments.device or device_name(),
        arguments.runtime or table.runtime,
        table.threads if arguments.threads is None else arguments.threads,
        table.batch if arguments.batch is None else arguments.batch,
        str(arguments.table),
    )
    error = table.held_out_error
    beside = f"held-out error: {error}" if error else "no held-out network was measured"
    for subject in subjects:
        predicted = predictor.predict_ms(subject.arch, subject.num_classes)
        console.print(f"{subject.name}: {predicted:.2f} ms predicted ({beside})")
        outside = predictor.outside(subject.arch, subject.num_classes)
        if outside:
            console.print(f"  outside of what was measured: {outside}")
    console.print(table.describe())
    for line in table.error_lines():
        console.print(f"  {line}")
