"""Give every reader many damaged inputs: files that were real, text, values of other types.

    python tests/fuzz/run.py --inputs 100000
    python tests/fuzz/run.py --inputs 2000 --readers images weights

Each input has to end in its result or in a `CompoundNasError` of one line, within 10 seconds and
without a gigabyte of memory. A reader runs in a process of its own, so that one that hangs, dies or
takes too much is told of, with the number of its input. `--reader NAME --number N` reads that one
again, with its traceback. The same seed, the same inputs. Ends with 1 where there is a finding.
"""

import argparse
import contextlib
import multiprocessing
import os
import random
import resource
import signal
import sys
import tempfile
import time
from collections import Counter
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parent.parent.parent
HANG_SECONDS: Final = 10
MOST_MEMORY: Final = 2**30
"""Bytes that a single input may add."""


def _work(
    name: str, seed: int, start: int, stop: int, at: "Synchronized[int]", found: Any
) -> None:  # fmt: skip
    """The inputs of a reader, from one number to another."""
    from tests.fuzz.readers import READERS, fault, input_of

    os.environ["OMP_NUM_THREADS"] = "1"
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)  # C libraries write there what they think of a file
    reader = next(each for each in READERS if each.name == name)
    with tempfile.TemporaryDirectory() as folder:
        made = reader.make(Path(folder))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for number in range(start, stop):
            at.value = number
            call = input_of(made, name, seed, number)
            # Of the processor's time, as others may use the machine; of waiting a minute.
            signal.setitimer(signal.ITIMER_PROF, HANG_SECONDS)
            signal.alarm(6 * HANG_SECONDS)
            said = fault(call)
            signal.setitimer(signal.ITIMER_PROF, 0)
            signal.alarm(0)
            now = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            if said is None and 1024 * (now - peak) > MOST_MEMORY:
                said = f"took {1024 * (now - peak) / 1e9:.1f} GB"
            peak = now
            if said is not None:
                found.put((number, said))
        at.value = stop
    found.put(None)


def read_all(name: str, inputs: int, seed: int) -> list[tuple[int, str]]:
    """The findings among a reader's inputs."""
    context = multiprocessing.get_context("fork")
    findings: list[tuple[int, str]] = []
    start = 0
    while start < inputs:
        at, found = context.Value("i", start), context.Queue()
        process = context.Process(target=_work, args=(name, seed, start, inputs, at, found))
        process.start()
        while True:
            with contextlib.suppress(Exception):
                message = found.get(timeout=0.2)
                if message is None:
                    break
                findings.append(message)
                continue
            if not process.is_alive():
                break
        process.join()
        if at.value >= inputs:
            break
        code = process.exitcode
        hung = code in (-signal.SIGALRM, -signal.SIGPROF)
        findings.append((at.value, f"hangs for {HANG_SECONDS} s" if hung else f"ended with {code}"))
        start = at.value + 1
    return findings


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--inputs", type=int, default=100_000, help="of all readers together")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--readers", nargs="*", help="their names; without it, all")
    parser.add_argument("--reader", help="one, of which to read --number again")
    parser.add_argument("--number", type=int)
    arguments = parser.parse_args()
    from tests.fuzz.readers import READERS, input_of

    if arguments.reader is not None:
        reader = next(each for each in READERS if each.name == arguments.reader)
        with tempfile.TemporaryDirectory() as folder:
            made = reader.make(Path(folder))
            input_of(made, reader.name, arguments.seed, arguments.number)()
        return
    chosen = [each for each in READERS if not arguments.readers or each.name in arguments.readers]
    shares = sum(each.share for each in chosen)
    began, total, wrong = time.monotonic(), 0, 0
    for reader in chosen:
        since = time.monotonic()
        inputs = max(1, round(arguments.inputs * reader.share / shares))
        findings = read_all(reader.name, inputs, arguments.seed)
        total, wrong = total + inputs, wrong + len(findings)
        print(
            f"{reader.name:16} {inputs:7,} inputs, {time.monotonic() - since:6.1f} s, "
            f"{len(findings)} findings",
            flush=True,
        )
        kinds: Counter[str] = Counter()
        for number, said in findings:
            key = said[:30] + said[said.rfind(" at ") :]
            kinds[key] += 1
            if kinds[key] == 1:
                print(f"    --reader {reader.name!r} --number {number}: {said[:500]}", flush=True)
    print(f"{total:,} inputs, {time.monotonic() - began:.0f} s, {wrong} findings")
    if wrong:
        sys.exit(f"error: {wrong} findings")


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    random.seed(0)
    main()
