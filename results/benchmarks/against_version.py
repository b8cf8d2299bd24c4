"""Another checkout of the project against this one, by turns in one run: is anything slower?

    git worktree add /tmp/before HEAD~50
    python results/benchmarks/against_version.py /tmp/before --repeats 9

Each side is a process that imports its own checkout (one thread). In a turn each does the same
work, first the one, then the other, and in the next turn the other way round. A ratio is that of
a turn, the other's seconds to ours: over 1, this checkout is faster. Training steps are by the
compiled operators; `epoch` is a whole proxy training of one epoch; start-up is of fresh processes.
What a version does not have is said, and left out.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any, Final

import numpy as np
from harness import check, check_finite, make_parser, parse, print_foot, spread

from blocks.zoo import find_arch
from search.config.compose import compose_config
from search.config.schema import RunConfig
from search.space.members import draw_members
from search.study.settle import open_members

FOLDER: Final = Path(__file__).resolve().parent
ROOT: Final = FOLDER.parents[1]
START_UP: Final = {
    "python -m search --help": ["-m", "search", "--help"],
    "import blocks, search, scaling": ["-c", "import blocks, search, scaling"],
    "import PyTorch's part": ["-c", "import blocks.network, blocks.native"],
}


@dataclass(frozen=True)
class Side:
    """A checkout, and the process that works with it."""

    name: str
    root: Path
    requests: IO[str]
    answers: IO[str]

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        print(json.dumps(request), file=self.requests, flush=True)
        answer = self.answers.readline()
        check(bool(answer), f"{self.name} ({self.root}) ended at {request['name']}")
        found: dict[str, Any] = json.loads(answer)
        return found


def environment(root: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(root)}


@contextmanager
def open_side(name: str, root: Path) -> Iterator[Side]:
    with subprocess.Popen(
        [sys.executable, str(FOLDER / "version_side.py")], cwd=root, env=environment(root),
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            check(bool(line), f"{name} ({root}) cannot be imported")
            where = Path(json.loads(line)["blocks"]).resolve()
            check(where.is_relative_to(root), f"{name} imports {where}, expected it in {root}")
            yield Side(name, root, process.stdin, process.stdout)
        finally:
            process.stdin.close()


def start_seconds(root: Path, arguments: Sequence[str]) -> float:
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, *arguments], cwd=root, env=environment(root), check=False,
        stdout=subprocess.DEVNULL,
    )  # fmt: skip
    check(done.returncode == 0, f"python {' '.join(arguments)} failed in {root}")
    return time.perf_counter() - started


def report(name: str, ours: Sequence[float], others: Sequence[float]) -> None:
    """`ours` and `others` in seconds, a pair of each turn."""
    check_finite(name, [ours, others], low=1e-9)
    ratios = np.array(others) / np.array(ours)
    print(
        f"  {name:32} this {1e3 * np.median(ours):10.3f} ms, other {1e3 * np.median(others):10.3f} "
        f"ms, other/this {spread(ratios, 3)}",
        flush=True,
    )


def compare(request: dict[str, Any], sides: Sequence[Side], repeats: int) -> None:
    """Both sides by turns; the first turn warms up."""
    seconds: dict[str, list[float]] = {side.name: [] for side in sides}
    for turn in range(repeats + 1):
        for side in sides if turn % 2 else sides[::-1]:
            answer = side.ask(request)
            if "missing" in answer:
                print(f"  {request['name']}: left out, {side.name} has {answer['missing']}")
                return
            if turn:
                seconds[side.name].append(float(np.median(answer["seconds"])))
    report(request["name"], *seconds.values())


def main() -> None:
    parser = make_parser(__doc__, seed=0)
    parser.add_argument("other", type=Path, help="folder of another checkout")
    parser.add_argument("--repeats", type=int, default=9, help="turns")
    parser.add_argument("--steps", type=int, default=8, help="of a turn")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--members", type=int, default=2000, help="networks to count")
    arguments = parse(parser, repeats=1, steps=1, batch=4, members=20)
    other = arguments.other.resolve()
    check((other / "blocks").is_dir(), f"{other} is no checkout of the project")
    config: RunConfig = compose_config("config", ["space=tiny", "budget.max_macs=2M"], RunConfig)
    archs = draw_members(open_members(config)[1], arguments.members, arguments.seed)
    b0 = str(replace(find_arch("efficientnet_b0"), resolution=32))
    steps, batch = arguments.steps, arguments.batch
    requests = [
        {"name": "step of EfficientNet-B0, 32 px", "work": "step", "arch": b0, "batch": batch},
        {"name": "step of a small network", "work": "step", "arch": archs[0], "batch": batch},
        {"name": "epoch of a small network", "work": "epoch", "arch": archs[0], "steps": 1},
        {"name": f"count, {len(archs)} networks", "work": "count", "archs": archs, "steps": 1},
        {"name": f"count_many, {len(archs)}", "work": "count_many", "archs": archs, "steps": 1},
        {"name": f"parse_arch, {len(archs)}", "work": "parse", "archs": archs, "steps": 1},
    ]
    print(f"this {ROOT}, other {other}; medians, and other/this as median (5–95%) of turns")
    with open_side("this", ROOT) as this, open_side("other", other) as rival:
        for request in requests:
            compare({"steps": steps, **request}, [this, rival], arguments.repeats)
    for name, command in START_UP.items():
        seconds: dict[str, list[float]] = {"this": [], "other": []}
        for turn in range(arguments.repeats + (not arguments.quick)):
            pair = [("this", ROOT), ("other", other)]
            for side, root in pair if turn % 2 else pair[::-1]:
                taken = start_seconds(root, command)
                if turn or arguments.quick:
                    seconds[side].append(taken)
        report(name, seconds["this"], seconds["other"])
    print_foot(arguments)


if __name__ == "__main__":
    main()
