"""`python -m blocks profile ARCH [ARCH …]`."""

import argparse
import csv
import io
import itertools
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table

from blocks.console import console, millions
from blocks.console import network as spelled
from blocks.cost import count
from blocks.errors import LatencyError
from blocks.latency.device import available_cores, device_name
from blocks.latency.measure import check_settings, profile_network
from blocks.latency.values import Latency
from blocks.machine import versions
from blocks.subject import Subject, read_subject

if TYPE_CHECKING:
    from blocks.latency.predict import Predictor

_Key = tuple[str, int, int]
"""Runtime, threads, batch."""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "arch", nargs="+", help="a name of the zoo, a spelling, or a YAML file of a family"
    )
    parser.add_argument(
        "--batch", default="1,4,16,64", metavar="N,…", help="batch sizes (default: %(default)s)"
    )
    parser.add_argument(
        "--runtime",
        default="eager,compile,onnxruntime",
        metavar="NAME,…",
        help="(default: %(default)s)",
    )
    parser.add_argument(
        "--threads",
        default=None,
        metavar="N,…",
        help="(default: 1 and the number of cores)",
    )
    parser.add_argument("--device", default="cpu", help="cpu or cuda (default: %(default)s)")
    parser.add_argument(
        "--seconds",
        type=float,
        default=10.0,
        metavar="S",
        help="cap on each point, without export, compilation and warm-up (default: %(default)g)",
    )
    parser.add_argument(
        "--repeats", type=int, default=1000, metavar="N", help="cap (default: %(default)s)"
    )
    parser.add_argument("--num-classes", type=int, default=None, metavar="N")
    parser.add_argument(
        "--tables",
        type=Path,
        default=Path("results/latency"),
        metavar="DIR",
        help="where latency-table wrote tables to predict from (default: %(default)s)",
    )
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("results/profile"),
        metavar="DIR",
        help="gets a folder for each network, with latency.csv and latency.png "
        "(default: %(default)s)",
    )


def run(arguments: argparse.Namespace) -> None:
    batches = read_numbers("--batch", arguments.batch)
    runtimes = list(dict.fromkeys(word.strip() for word in arguments.runtime.split(",")))
    threads = (
        read_numbers("--threads", arguments.threads)
        if arguments.threads is not None
        else sorted({1, available_cores()})
    )
    # Every network is read, and every setting checked, before the first is measured.
    subjects = [read_subject(text, arguments.num_classes) for text in arguments.arch]
    for setting in itertools.product(runtimes, threads, batches):
        check_settings(*setting, arguments.device)
    for name, subject in zip(_folder_names(subjects), subjects, strict=True):
        _profile(name, subject, batches, runtimes, threads, arguments)


def read_numbers(option: str, text: str) -> list[int]:
    """`1,4,16` as numbers, each once.

    Raises:
        LatencyError: anything else.
    """
    words = [word.strip() for word in text.split(",")]
    if not all(word.isascii() and word.isdigit() and 0 < int(word) < 10**6 for word in words):
        raise LatencyError(f"{option} {text!r} is not whole numbers of 1 or more, as in 1,4,16")
    return list(dict.fromkeys(map(int, words)))


def _folder_names(subjects: list[Subject]) -> list[str]:
    """The subjects' names, the later of two equal ones with a number."""
    names: list[str] = []
    for subject in subjects:
        name, number = subject.name, 2
        while name in names:
            name, number = f"{subject.name}-{number}", number + 1
        names.append(name)
    return names


def _profile(
    name: str,
    subject: Subject,
    batches: list[int],
    runtimes: list[str],
    threads: list[int],
    arguments: argparse.Namespace,
) -> None:
    from blocks.network import Network  # torch: seconds that --help need not pay

    points = profile_network(
        Network(subject.arch, subject.num_classes),
        batches,
        runtimes,
        threads,
        device=arguments.device,
        seconds=arguments.seconds,
        max_repeats=arguments.repeats,
    )
    console.print(spelled(f"{name}: {subject.arch!s}", name))
    console.print(f"  {millions(count(subject.arch, subject.num_classes).macs)} macs per image")
    latencies: list[Latency] = []
    total = len(batches) * len(runtimes) * len(threads)
    with console.status(f"measuring 1 of {total}") as status:
        for latency in points:
            latencies.append(latency)
            status.update(f"measuring {len(latencies) + 1} of {total}")
    device = device_name(arguments.device)
    predictors = _predictors(latencies, device, arguments.tables)
    for series in dict.fromkeys((each.runtime, each.threads) for each in latencies):
        rows = [each for each in latencies if (each.runtime, each.threads) == series]
        console.print(f"{series[0]}, {series[1]} thread{'s' if series[1] > 1 else ''}")
        console.print(_table(rows, subject, predictors))
    capped = sum(not each.converged for each in latencies)
    if capped:
        console.print(f"{capped} of {total} capped before the median's 95% interval was within ±3%")
    for (runtime, its_threads, batch), predictor in predictors.items():
        where = f"{runtime}, threads {its_threads}, batch {batch}"
        error = predictor.table.held_out_error
        console.print(f"predicted ({where}): the table's held-out error is {error}")
        outside = predictor.outside(subject.arch, subject.num_classes)
        if outside:
            console.print(f"  outside of what was measured: {outside}")
    found = versions("onnxruntime")
    used = {key: found[key] for key in ("python", "torch", "onnxruntime", "compound-nas")}
    foot = f"{device}, {available_cores()} cores, fp32"
    console.print(f"{foot}; " + ", ".join(f"{key} {value}" for key, value in used.items()))
    _write(arguments.output / name, name, latencies, subject, foot, used)


def _predictors(latencies: list[Latency], device: str, folder: Path) -> dict[_Key, "Predictor"]:
    """The predictors whose tables are of this device and of settings that were measured."""
    from blocks.latency.predict import load_predictor
    from blocks.latency.table import table_name

    found = {}
    for each in latencies:
        path = folder / table_name(device, each.runtime, each.threads, each.batch)
        if path.exists():
            predictor = load_predictor(path)
            predictor.table.check(device, each.runtime, each.threads, each.batch, str(path))
            found[(each.runtime, each.threads, each.batch)] = predictor
    return found


def _table(
    latencies: list[Latency], subject: Subject, predictors: dict[_Key, "Predictor"]
) -> Table:
    # A table for each runtime and number of threads, so that a terminal of 80 holds a row.
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    headings = ["batch", "median ms", "95% interval", "p5–p95", "images/s", "repeats", "±3%"]
    for heading in headings + (["predicted ms"] if predictors else []):
        table.add_column(heading, justify="right", no_wrap=True)
    for each in latencies:
        predictor = predictors.get((each.runtime, each.threads, each.batch))
        cells = [
            str(each.batch),
            _ms(each.median_ms),
            f"{_ms(each.low_ms)}–{_ms(each.high_ms)}",
            f"{_ms(each.p5_ms)}–{_ms(each.p95_ms)}",
            f"{each.images_per_second:,.1f}",
            str(each.repeats),
            "within" if each.converged else "capped",
        ]
        if predictors:
            cells.append("" if predictor is None else prediction(predictor, subject))
        table.add_row(*cells)
    return table


def prediction(predictor: "Predictor", subject: Subject) -> str:
    """Predicted milliseconds, with the median held-out error beside them."""
    error = predictor.table.held_out_error
    predicted = _ms(predictor.predict_ms(subject.arch, subject.num_classes))
    return f"{predicted} ± {error.median_percent:.0f}%" if error else f"{predicted} (untested)"


def _ms(value: float) -> str:
    return f"{value:.3f}" if value < 10 else f"{value:.1f}"


def _write(
    folder: Path,
    name: str,
    latencies: list[Latency],
    subject: Subject,
    foot: str,
    used: dict[str, str],
) -> None:
    from blocks.files import write_whole
    from blocks.plot import plot_latency

    rows = io.StringIO()
    columns = [field.name for field in fields(Latency)]
    writer = csv.writer(rows, lineterminator="\n")
    writer.writerow(["arch", "num_classes", *columns, "images_per_second", *used])
    writer.writerows(
        [
            subject.arch,
            subject.num_classes,
            *(getattr(each, column) for column in columns),
            each.images_per_second,
            *used.values(),
        ]
        for each in latencies
    )
    write_whole(folder / "latency.csv", rows.getvalue().encode())
    picture = plot_latency(latencies, f"{name} at {subject.arch.image} px, {foot}")
    write_whole(folder / "latency.png", picture)
    console.print(f"wrote {folder / 'latency.csv'} and latency.png")
