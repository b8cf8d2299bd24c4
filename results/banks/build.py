"""Train random members of a space at one exact budget: a bank, by which searches are replayed.

    python results/banks/build.py fashion --minutes 60

It goes on where it stopped. First all members are trained with one seed by every schedule, then
with the next. `export.py` makes the file that is shipped.
"""

import argparse
import json
import time
from concurrent.futures import FIRST_COMPLETED, Future, wait
from functools import partial
from pathlib import Path
from typing import Any

from banks import BANKS, load, shipped, worked
from measure import Task, run
from table import key, read_lines

from search.config.settled import SettledWorkers
from search.evaluators.pool import WorkerPool
from search.record.trials import cut_torn_line


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("bank", choices=sorted(BANKS))
    parser.add_argument("--root", type=Path, help="folder of the images that are not shipped")
    parser.add_argument("--members", type=int, default=150)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--space", default="auto")
    parser.add_argument("--arch", action="append", default=[], help="train this one, no member")
    parser.add_argument("--only", help="this schedule alone")
    parser.add_argument("--seeds", type=int, default=9, help="no more than these of a schedule")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--output", type=Path, help="where the lines go")
    given = parser.parse_args()
    bank = BANKS[given.bank]
    output = given.output or worked(bank.name)
    output.parent.mkdir(parents=True, exist_ok=True)
    cut_torn_line(output)
    done = {key(line) for path in (shipped(bank.name), output) for line in read_lines(path)}
    archs = given.arch or bank.members(given.space, given.members)
    tasks = [
        Task(arch, schedule, replicate)
        for replicate in range(max(schedule.seeds for schedule in bank.schedules))
        for arch in archs
        for schedule in bank.schedules
        if given.only in (None, schedule.name) and replicate < min(schedule.seeds, given.seeds)
        if (arch, schedule.name, replicate) not in done
    ]
    print(f"{len(done)} trainings are there, {len(tasks)} to come", flush=True)
    splits = {task.division(bank) for task in tasks}
    data = {division: load(bank, given.root, division) for division in sorted(splits)}
    work = partial(run, bank=bank, data=data, device=given.device)
    until = time.monotonic() + 60 * given.minutes
    with (
        WorkerPool(work, SettledWorkers(count=given.workers, device=given.device)) as pool,
        output.open("a") as file,
    ):
        waiting: set[Future[dict[str, Any]]] = set()
        for task in tasks:
            if time.monotonic() > until:
                break
            waiting.add(pool.evaluate(task))
            if len(waiting) > given.workers:
                ended, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                for future in ended:
                    file.write(json.dumps(future.result()) + "\n")
                file.flush()
        for future in waiting:
            file.write(json.dumps(future.result()) + "\n")


if __name__ == "__main__":
    main()
