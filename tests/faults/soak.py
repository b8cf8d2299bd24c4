"""Kill a search at random moments, many times, and compare what it finds with one left alone.

    python tests/faults/soak.py --kills 100
    python tests/faults/soak.py --hours 24

A study of short trainings of scikit-learn's digits, stopped early by halving, so that there are
checkpoints in the way. A kill is -9, of the driver or of a worker, or a SIGTERM of the driver; it
comes when a random number of trials is on disk, and a random moment later: while Python starts,
the journal is read, a candidate is trained, a line is written. A driver that died is started again
with the same command. At the end all of the trials, the front and B0 have to be those of a study
that nobody killed; only their times may differ. Ends with 1 where they are not.

`--hours` is about what grows: the real loop with simulated trainings for so many hours of its own
clock, see `tests/faults/growth.py`.
"""

import argparse
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any, Final

import numpy as np
import psutil
import yaml
from sklearn.datasets import load_digits

ROOT: Final = Path(__file__).resolve().parent.parent.parent
WORKERS_AT_ONCE: Final = (3, 8)
"""So many workers at most are killed within so many trials: a training whose worker has died four
times is at its end, as it has to be where it is the training's fault."""
STALLED_SECONDS: Final = 300.0
"""Without a new line, after which a search hangs."""
MOST_STARTS: Final = 3
"""Of a driver in a row that end by themselves with an error."""


def write_digits(path: Path) -> None:
    """1,797 real digits of 8×8 pixels."""
    bunch = load_digits()
    images = (bunch.images * 15).astype(np.uint8)
    np.savez(
        path,
        x_train=images[:1400],
        y_train=bunch.target[:1400],
        x_test=images[1400:],
        y_test=bunch.target[1400:],
    )


def settings(folder: Path, trials: int, seed: int, workers: int) -> list[str]:
    return [
        "dataset=npz", f"dataset.root={folder / 'digits.npz'}", "proxy.resolution=8", "space=tiny",
        "budget.target=60k", "search.pruner=asha", "search.reduction_factor=2", "proxy.epochs=4",
        "search.min_epochs=1", f"search.trials={trials}", f"seed={seed}", "search.finalists=2",
        "search.final_epochs=4", "search.references=[]", "search.controls=2", "search.scale=false",
        "search.probe=false", f"workers.count={workers}", "workers.device=cpu", "sampler=surrogate",
        f"results_dir={folder / 'results'}",
    ]  # fmt: skip


class Search:
    """A search that is started, killed and started again until it is over."""

    def __init__(self, folder: Path, name: str, given: list[str]) -> None:
        self.command = [sys.executable, "-m", "search", "run", *given, f"study={name}"]
        self.study = folder / "results" / name
        self.errors = folder / f"{name}.errors"
        self.process: subprocess.Popen[bytes] | None = None
        self.starts = 0

    def start(self) -> None:
        path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
        with open(self.errors, "wb") as errors:
            self.process = subprocess.Popen(
                self.command, env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
                stdout=subprocess.DEVNULL, stderr=errors, start_new_session=True,
            )  # fmt: skip
        self.starts += 1

    def lines(self) -> int:
        """Trials on disk."""
        with contextlib.suppress(FileNotFoundError):
            return (self.study / "trials.jsonl").read_bytes().count(b"\n")
        return 0

    def workers(self) -> list[psutil.Process]:
        assert self.process is not None
        with contextlib.suppress(psutil.NoSuchProcess):
            found = psutil.Process(self.process.pid).children()
            return [each for each in found if _is_worker(each)]
        return []

    def ended(self) -> int | None:
        assert self.process is not None
        return self.process.poll()

    def wait(self, seconds: float) -> int | None:
        """The code it ended with, if it has by then."""
        assert self.process is not None
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self.process.wait(seconds)
        return None

    def finish(self) -> None:
        """Wait for its end; a search that hangs or fails ends the script."""
        while True:
            before, since = self.lines(), time.monotonic()
            while self.ended() is None and self.lines() == before:
                if time.monotonic() - since > STALLED_SECONDS:
                    sys.exit(f"error: no new trial in {STALLED_SECONDS:g} s after {before}")
                time.sleep(0.2)
            if (code := self.ended()) is not None:
                if code:
                    sys.exit(f"error: ended with {code}: {self.errors.read_text()[-2000:]}")
                return


def _is_worker(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.Error):
        words = " ".join(process.cmdline())
        return "spawn_main" in words and "resource_tracker" not in words
    return False


def soak(
    search: Search, kills: int, trials: int, draw: random.Random, minutes: float
) -> Counter[str]:
    """Kill it so many times, or for so long; what was killed, by kind."""
    began = time.monotonic()
    done: Counter[str] = Counter()
    # As many as there are trials, and a few while the final round goes on.
    due = sorted(draw.randrange(trials + 1) for _ in range(kills))
    most, within = WORKERS_AT_ONCE
    workers: list[int] = []  # trials on disk when one was killed
    search.start()
    for number, threshold in enumerate(due, 1):
        if time.monotonic() - began > 60 * minutes:
            break
        since = time.monotonic()
        while search.lines() < threshold and search.ended() is None:
            if time.monotonic() - since > STALLED_SECONDS:
                sys.exit(f"error: no {threshold} trials in {STALLED_SECONDS:g} s")
            time.sleep(0.01)
        kind = draw.choice(("driver", "driver", "driver", "term", "worker", "worker", "worker"))
        if kind == "worker" and len(workers) >= most and search.lines() - workers[-most] < within:
            kind = "driver"
        # Of a driver that has just been started: within its start, or soon after.
        code = search.wait(draw.uniform(0, draw.choice((0.05, 1.0, 8.0))))
        if code is None and kind == "worker":
            until = time.monotonic() + 60
            while not (found := search.workers()) and time.monotonic() < until:
                if (code := search.wait(0.05)) is not None:
                    break
            if found:
                with contextlib.suppress(psutil.NoSuchProcess):
                    draw.choice(found).kill()
                workers.append(search.lines())
                done["worker"] += 1
        if code is None and kind != "worker":
            assert search.process is not None
            os.kill(search.process.pid, signal.SIGKILL if kind == "driver" else signal.SIGTERM)
            ended = search.wait(120)
            expected = (-signal.SIGKILL,) if kind == "driver" else (0, 130, -signal.SIGTERM)
            if ended not in (*expected, 0):
                said = search.errors.read_text()[-2000:]
                sys.exit(f"error: after {kind} it ended with {ended}: {said}")
            if kind == "term" and "Traceback" in search.errors.read_text():
                sys.exit(f"error: SIGTERM left {search.errors.read_text()[-3000:]}")
            done[kind] += 1
            code = ended
        if code is not None:
            if code not in (0, 130, -signal.SIGKILL, -signal.SIGTERM):
                sys.exit(f"error: ended with {code}: {search.errors.read_text()[-3000:]}")
            if code == 0:
                done["found it finished"] += 1
            search.start()
        print(
            f"kill {number} of {kills}: {kind}, {search.lines()} of {trials} trials on disk, "
            f"{search.starts} starts",
            flush=True,
        )
    search.finish()
    return done


def table(study: Path) -> dict[str, Any]:
    """All that a study found, without the times it took."""
    lines = [json.loads(line) for line in (study / "trials.jsonl").read_text().splitlines()]
    for line in lines:
        line.pop("seconds", None)
        line.pop("log", None)
    numbers = [line["number"] for line in lines]
    if len(set(numbers)) < len(numbers):
        sys.exit(f"error: {study} has a trial twice: {Counter(numbers).most_common(3)}")
    b0 = yaml.safe_load((study / "b0.yaml").read_text())
    kept = {name: b0[name] for name in ("arch", "trial", "metrics", "controls") if name in b0}
    left = [each.name for each in (study / "checkpoints").iterdir()]
    return {
        "trials": sorted(lines, key=lambda line: line["number"]),
        "front": (study / "pareto.csv").read_text(),
        "b0": kept,
        "checkpoints left": left,
    }


def differences(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    found = [name for name in one if name != "trials" and one[name] != other[name]]
    numbers = {line["number"] for each in (one, other) for line in each["trials"]}
    rows = [{line["number"]: line for line in each["trials"]} for each in (one, other)]
    return found + [
        f"trial {number}: {rows[0].get(number)} and {rows[1].get(number)}"
        for number in sorted(numbers)
        if rows[0].get(number) != rows[1].get(number)
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0, help="of the study, and of the moments")
    parser.add_argument("--minutes", type=float, default=1e9, help="after which nothing is killed")
    parser.add_argument("--folder", type=Path, help="kept, and gone on with; else a temporary one")
    parser.add_argument("--hours", type=float, help="simulated, instead of kills")
    arguments = parser.parse_args()
    if arguments.hours is not None:
        from tests.faults.growth import report

        report(arguments.hours, arguments.seed)
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        write_digits(folder / "digits.npz")
        given = settings(folder, arguments.trials, arguments.seed, arguments.workers)
        began = time.monotonic()
        whole = Search(folder, "whole", given)
        whole.start()
        whole.finish()
        alone = time.monotonic() - began
        print(f"left alone: {whole.lines()} trials, {alone:.0f} s", flush=True)
        cut = Search(folder, "cut", given)
        draw = random.Random(arguments.seed)
        done = soak(cut, arguments.kills, arguments.trials, draw, arguments.minutes)
        said = ", ".join(f"{count} {kind}" for kind, count in sorted(done.items()))
        kills = sum(count for kind, count in done.items() if kind in ("driver", "term", "worker"))
        print(f"killed: {said}; {cut.starts} starts, {time.monotonic() - began - alone:.0f} s")
        found = differences(table(whole.study), table(cut.study))
        for line in found[:20]:
            print(f"differs: {line}")
        if found:
            sys.exit(f"error: {len(found)} differences after {kills} kills")
        print(f"{kills} kills: all {whole.lines()} trials, the front and B0 are the same")


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    main()
