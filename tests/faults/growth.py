"""Whether a search that goes on for a day grows: memory, open files and threads by trial."""

import os
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Final

import numpy as np
import psutil

BENCHMARKS: Final = Path(__file__).resolve().parents[2] / "results" / "benchmarks"
WORKERS: Final = 2
TRIAL_SECONDS: Final = 60.0
MOST_BYTES: Final = 100_000
"""That a trial may leave in memory: Optuna's and our record of it, about 60 values."""


def report(hours: float, seed: int, sampler: str = "random") -> None:
    """Simulate a search of so many hours of two workers; ends with 1 where something grows.

    What is known of a trial stays in memory, so memory has a slope; it must be small and not rise.
    """
    sys.path.insert(0, str(BENCHMARKS))
    from simulated_workers import CLASSES, Cluster, run_simulated, workers_of

    from blocks.arch import square
    from search.config.face import config_from
    from search.space.budget import cost_budget
    from search.space.choices import build_space
    from search.space.members import SpaceCandidates
    from search.study import loop

    trials = round(hours * 3600 / TRIAL_SECONDS * WORKERS)
    own = psutil.Process()
    seen: list[tuple[int, int, int]] = []
    real = loop.append_record

    def append(path: Path, record: object) -> None:
        real(path, record)  # type: ignore[arg-type]
        seen.append(
            (own.memory_info().rss, len(os.listdir("/proc/self/fd")), threading.active_count())
        )

    with tempfile.TemporaryDirectory() as folder:
        config = config_from(
            study="day", results_dir=folder, sampler=sampler, seed=seed, objective="loss",
            space="tiny",
            **{"budget.max_macs": "100M", "search.pruner": "none", "proxy.epochs": 4,
               "search.trials": trials, "workers.count": WORKERS, "workers.device": "cpu"},
        )  # fmt: skip
        budget = cost_budget(config)
        space = build_space(config.space, square(28), 1, CLASSES, budget)
        members = SpaceCandidates(space, budget, CLASSES)
        drawn = [members.decode(code) for code in members.sample(50, np.random.default_rng(seed))]
        mean = float(np.mean([members.network(values)[1].macs for values in drawn]))
        began = time.process_time()
        loop.append_record = append
        try:
            _, found, _ = run_simulated(
                config, members, Path(folder),
                Cluster(workers_of(WORKERS), TRIAL_SECONDS, mean),
            )  # fmt: skip
        finally:
            loop.append_record = real
    rss, files, threads = (np.array(each) for each in zip(*seen, strict=True))
    half = len(seen) // 2
    slopes = [
        np.polyfit(np.arange(len(part)), part, 1)[0] for part in (rss[half // 2 : half], rss[half:])
    ]
    print(
        f"{len(seen):,} trials in {found.now / 3600:.1f} simulated hours, "
        f"{time.process_time() - began:.0f} s of CPU: {slopes[0] / 1e3:+.1f} kB a trial in the "
        f"second quarter and {slopes[1] / 1e3:+.1f} kB in the second half, "
        f"{rss[-1] / 1e6:.0f} MB at the end; open files {files[half]} to {files[-1]}, threads "
        f"{threads[half]} to {threads[-1]}"
    )
    if slopes[1] > MOST_BYTES or files[half:].max() > files[:half].max():
        sys.exit("error: memory or open files grow")
    if threads[half:].max() > threads[:half].max():
        sys.exit("error: threads grow")
