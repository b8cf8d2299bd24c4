"""Seconds until a command or an import of the project has begun, each in a fresh process.

    python results/benchmarks/start_up.py --repeats 10

The commands take turns; files are in the page cache after a turn that is not counted. Wall time is
what a user waits; CPU time tells the same on a machine that is busy with something else. Beside
them: the heavy modules that got loaded, and the slowest modules by `python -X importtime`, their
own imports included.
"""

import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
from harness import check, check_finite, cpu_seconds, make_parser, parse, print_foot, spread

from search.config.compose import compose_config
from search.config.schema import RunConfig
from search.record.folder import StudyFolder

ROOT: Final = Path(__file__).resolve().parents[2]
BOUND_SECONDS: Final = 0.5
COMMANDS: Final = {
    "python -c pass": ["-c", "pass"],
    "python -m search --help": ["-m", "search", "--help"],
    "python -m search status": ["-m", "search", "status"],
    "python -m scaling --help": ["-m", "scaling", "--help"],
    "python -m blocks --help": ["-m", "blocks", "--help"],
    "import blocks": ["-c", "import blocks"],
    "import search": ["-c", "import search"],
    "import scaling": ["-c", "import scaling"],
    "a training process": ["-c", "import search.evaluators.train"],
}
"""The last is what a worker process imports; PyTorch is most of it, so it has no bound."""
HEAVY: Final = (
    "torch", "torchvision", "numpy", "pandas", "scipy", "sklearn", "optuna", "hydra", "omegaconf",
    "matplotlib", "PIL", "fvcore", "onnxruntime", "rich",
)  # fmt: skip
_IMPORT: Final = re.compile(r"import time:\s*\d+ \|\s*(\d+) \| +(\S+)$", re.MULTILINE)


def start(arguments: Sequence[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """`python ARGUMENTS` in `folder`; the script ends if it fails."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    check(done.returncode == 0, f"python {' '.join(arguments)}: {done.stderr[-1000:]}")
    return done


def imported(arguments: Sequence[str], folder: Path) -> dict[str, float]:
    """Modules and the seconds that importing each took, with what it imports."""
    said = start(["-X", "importtime", *arguments], folder).stderr
    return {name: int(micro) / 1e6 for micro, name in _IMPORT.findall(said)}


def main() -> None:
    parser = make_parser(__doc__)
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--slowest", type=int, default=3, help="modules to name of each")
    arguments = parse(parser, repeats=1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        StudyFolder(str(folder / "results"), "main").open(compose_config("config", [], RunConfig))
        wall: dict[str, list[float]] = {command: [] for command in COMMANDS}
        cpu: dict[str, list[float]] = {command: [] for command in COMMANDS}
        for turn in range(arguments.repeats + (not arguments.quick)):
            for command, given in COMMANDS.items():
                started, used = time.perf_counter(), cpu_seconds()
                start(given, folder)
                if turn or arguments.quick:
                    wall[command].append(time.perf_counter() - started)
                    cpu[command].append(cpu_seconds() - used)
        print(f"seconds, median (least–most) of {arguments.repeats}, bound {BOUND_SECONDS:g} s")
        for command, given in COMMANDS.items():
            check_finite(command, wall[command], low=1e-4)
            slow = "process" not in command and float(np.median(wall[command])) > BOUND_SECONDS
            print(
                f"  {command:26} wall {spread(wall[command], 3, 0, 100)}, CPU "
                f"{spread(cpu[command], 3, 0, 100)}{'  OVER THE BOUND' if slow else ''}"
            )
            modules = imported(given, folder)
            check(bool(modules), f"{command}: python -X importtime told of no module")
            heavy = [each for each in HEAVY if each in modules]
            print(f"{'':29}heavy modules: {', '.join(heavy) or 'none'}")
            slowest = sorted(modules, key=modules.__getitem__, reverse=True)[: arguments.slowest]
            told = ", ".join(f"{each} {modules[each]:.3f} s" for each in slowest)
            print(f"{'':29}of {len(modules)} modules the slowest: {told}")
    print_foot(arguments)


if __name__ == "__main__":
    main()
