"""How long `python -m search report` takes, by the number of trials of the study.

    python results/benchmarks/report_time.py

The studies are made up (`made_study.py`): what a report shows of them means nothing, but there is
as much of it. CPU seconds are those of the whole command, its start included; they are what an idle
machine takes, whatever else runs here. Bytes are those of the page.
"""

import os
import subprocess
import sys
import time
from pathlib import Path

from harness import check, check_finite, cpu_seconds, make_parser, parse, print_foot, results_folder
from harness import spread as spread_of
from made_study import make_study

ROOT = Path(__file__).resolve().parents[2]


def main() -> None:
    parser = make_parser(__doc__)
    parser.add_argument("--trials", type=int, nargs="+", default=[40, 1000])
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parse(parser, trials=[40], repeats=1)
    with results_folder("", True) as results:
        for trials in arguments.trials:
            folder = make_study(results, f"made{trials}", trials)
            used, clock = [], []
            for _ in range(arguments.repeats):
                before, started = cpu_seconds(), time.perf_counter()
                subprocess.run(
                    [sys.executable, "-P", "-m", "search", "report", f"study=made{trials}",
                     f"results_dir={results}"],
                    check=True, stdout=subprocess.DEVNULL, cwd=results,
                    env={**os.environ, "PYTHONPATH": str(ROOT)},
                )  # fmt: skip
                used.append(cpu_seconds() - before)
                clock.append(time.perf_counter() - started)
            size = (folder / "report.html").stat().st_size
            check(size < 6_000_000, f"{trials} trials: the page has {size:,} bytes")
            check_finite("CPU seconds", used, 0)
            print(
                f"{trials} trials: {spread_of(used)} s of CPU, {spread_of(clock)} s by the clock; "
                f"{size / 1e6:.2f} MB"
            )
    print_foot(arguments, "plotly")


if __name__ == "__main__":
    main()
