"""Every benchmark here with `--quick`, one after the other: that they run, not what they measure.

    python results/benchmarks/all_quick.py
    python results/benchmarks/all_quick.py count_many zero_cost

Fails, with the last lines of what a script printed, where one does not end with 0 in its time.
"""

import argparse
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from harness import cpu_seconds

FOLDER: Final = Path(__file__).resolve().parent
ROOT: Final = FOLDER.parent.parent
FURTHER: Final[Mapping[str, list[str]]] = {
    "against_version": [str(ROOT)],
}
"""Arguments that a script wants besides `--quick`."""
LIMIT_SECONDS: Final = 1200.0
"""Of a script: far more than it takes, beside tests that come first."""


def scripts() -> list[str]:
    """The names of the benchmarks: of the files here that offer `--quick`."""
    others = (Path(__file__).name, "harness.py", "gpu.py")  # the last is run by .ci/gpu
    return sorted(
        path.stem
        for path in FOLDER.glob("*.py")
        if path.name not in others
        and re.search(r"make_parser\(__|\"--quick\"", path.read_text("utf-8"))
    )


def run(name: str, limit_seconds: float) -> str | None:
    """Run one; what went wrong, if something did."""
    command = [sys.executable, str(FOLDER / f"{name}.py"), "--quick", *FURTHER.get(name, ())]
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    with subprocess.Popen(
        command, cwd=ROOT, env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
    ) as process:  # fmt: skip
        try:
            said, _ = process.communicate(timeout=limit_seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)  # with the processes that it started
            return f"not done in {limit_seconds:g} s"
    if process.returncode:
        return "\n".join(["", *said.splitlines()[-15:], f"ended with {process.returncode}"])
    return None if said.strip() else "printed nothing"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", help="of scripts, without .py; none: all")
    parser.add_argument("--limit-seconds", type=float, default=LIMIT_SECONDS, help="of a script")
    arguments = parser.parse_args()
    names = arguments.names or scripts()
    unknown = sorted({*names} - {*scripts()})
    if unknown:
        parser.error(f"no benchmark {unknown[0]!r}; expected one of {', '.join(scripts())}")
    failed, begun = [], time.perf_counter()
    for name in names:
        started, cpu = time.perf_counter(), cpu_seconds()
        error = run(name, arguments.limit_seconds)
        print(
            f"{name:24} {time.perf_counter() - started:6.1f} s, {cpu_seconds() - cpu:6.1f} s of "
            f"CPU  {error or 'ok'}",
            flush=True,
        )
        if error:
            failed.append(name)
    print(f"{len(names)} scripts, {time.perf_counter() - begun:.0f} s")
    if failed:
        sys.exit(f"error: failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
