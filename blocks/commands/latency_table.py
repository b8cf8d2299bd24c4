"""`python -m blocks latency-table`."""

import argparse
from pathlib import Path

from blocks.console import console
from blocks.latency.device import device_name


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--minutes", type=float, default=3.0, help="to measure for (default: %(default)g)"
    )
    parser.add_argument(
        "--runtime",
        default="eager",
        help="eager or onnxruntime, which must export each network: give it 10 minutes "
        "(default: %(default)s)",
    )
    parser.add_argument("--threads", type=int, default=1, metavar="N", help="(default: 1)")
    parser.add_argument("--batch", type=int, default=1, metavar="N", help="(default: 1)")
    parser.add_argument(
        "--seed", type=int, default=0, help="of the random networks (default: %(default)s)"
    )
    parser.add_argument(
        "--resolution",
        type=pixels,
        metavar="PX|LOW,HIGH",
        help="of the networks that are measured (default: 24 to 400)",
    )
    parser.add_argument(
        "--in-channels", type=int, metavar="N", help="of their images (default: mostly 3)"
    )
    parser.add_argument(
        "--output",
        type=Path,
        metavar="FILE",
        help="(default: results/latency/DEVICE-RUNTIME-tTHREADS-bBATCH.json)",
    )


def pixels(text: str) -> tuple[int, int]:
    """`28` or `24,48`."""
    low, comma, high = text.partition(",")
    return int(low), int(high if comma else low)


def run(arguments: argparse.Namespace) -> None:
    from blocks.latency.build import build_table
    from blocks.latency.draw import Inputs
    from blocks.latency.table import table_name

    settings = arguments.runtime, arguments.threads, arguments.batch
    path = arguments.output or Path("results/latency") / table_name(device_name(), *settings)
    with console.status("measuring") as status:
        table = build_table(
            runtime=arguments.runtime,
            threads=arguments.threads,
            batch=arguments.batch,
            minutes=arguments.minutes,
            seed=arguments.seed,
            inputs=Inputs(arguments.resolution, arguments.in_channels),
            report=status.update,
        )
    table.write(path)
    console.print(table.describe())
    for line in table.error_lines():
        console.print(f"  {line}")
    for row in table.zoo:
        note = f" (outside: {row.outside})" if row.outside else ""
        console.print(
            f"  {row.name}: measured {row.measured_ms:.2f} ms, predicted "
            f"{row.predicted_ms:.2f} ms ({row.predicted_ms / row.measured_ms - 1:+.1%})"
            f"{note}"
        )
    console.print(f"wrote {path}")
