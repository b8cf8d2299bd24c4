"""Our search against random search on the embedded images, at equal wall-clock, paired by seed.

    python results/benchmarks/equal_time.py --seeds 5 --minutes 4

Every search is the real command with one training process, at the same exact budget and with the
same proxy; both begin no candidate after `--minutes`. The two searches of a seed run at the same
time, so that whatever else the machine does slows both. What each found is then trained anew,
`--epochs` long, with seeds that no search has seen, and judged on the test split, which steers
nothing (with `--test-root` on all 10,000 test images of Fashion-MNIST, of which the shipped split
is a part: the smaller the noise of the judge). Results are kept: the same command goes on where it
stopped.
"""

import argparse
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import yaml
from harness import check_finite, make_parser, mean_interval, parse, print_foot, results_folder
from opening import add_search_arguments, open_search, trained

from search.evaluators.batch import run_jobs
from search.evaluators.train import TrainEvaluator, make_job
from search.record.folder import StudyFolder

ARMS = {
    "random": ["sampler=random"],
    "surrogate": ["sampler=surrogate", "search.pruner=asha"],
}
SHARED = ("objective=loss", "proxy.ema=0.98")
"""Of both: what the candidates are judged and the found one is chosen by."""


def main() -> None:
    parser = make_parser(__doc__)
    add_search_arguments(parser)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--minutes", type=float, default=4.0)
    parser.add_argument("--target", default="200k", help="macs of every candidate")
    parser.add_argument("--proxy-epochs", type=int, default=9)
    parser.add_argument("--epochs", type=int, default=10, help="of the judges")
    parser.add_argument("--judges", type=int, default=3, help="trainings of every found network")
    parser.add_argument("--trials", type=int, default=100_000, help="of a search, at most")
    parser.add_argument("--results", default="results/equal_time")
    arguments = parse(
        parser, workers=1, images=500, seeds=1, trials=2, proxy_epochs=2, epochs=1, judges=1
    )
    with results_folder(arguments.results, arguments.quick) as folder:
        arguments.results = str(folder)
        search_and_judge(arguments)
    print_foot(arguments)


def search_and_judge(arguments: argparse.Namespace) -> None:
    found = {}
    for seed in range(arguments.seeds):
        for process in [start(arm, seed, arguments) for arm in ARMS]:
            if process is not None and process.wait():
                raise SystemExit(process.returncode)
        for arm in ARMS:
            folder = folder_of(arm, seed, arguments)
            content = yaml.safe_load((folder / "b0.yaml").read_text())
            found[arm, seed] = str(content["arch"])
            print(
                f"{folder.study}: {len(folder.trained())} candidates, {len(folder.completed())} to "
                f"the end, val accuracy {content['proxy']['val_accuracy']:.4f}",
                flush=True,
            )
    judge(found, arguments)


def folder_of(arm: str, seed: int, arguments: argparse.Namespace) -> StudyFolder:
    return StudyFolder(arguments.results, f"{arm}_{seed}")


def start(arm: str, seed: int, arguments: argparse.Namespace) -> "subprocess.Popen[bytes] | None":
    """One search, begun; None where it is done already."""
    folder = folder_of(arm, seed, arguments)
    if (folder / "b0.yaml").exists():
        return None
    command = [
        *(sys.executable, "-m", "search", "run", f"study={folder.study}", f"seed={seed}"),
        *(f"results_dir={arguments.results}", f"budget.target={arguments.target}"),
        *(f"proxy.epochs={arguments.proxy_epochs}", f"search.minutes={arguments.minutes}"),
        *(f"search.trials={arguments.trials}", "search.scale=false", "search.references=[]"),
        *(
            "search.controls=0",
            "search.finalists=1",
            "search.final_epochs=1",
            "workers.count=1",
            *SHARED,
            *ARMS[arm],
        ),
    ]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL)


def judge(found: dict[tuple[str, int], str], arguments: argparse.Namespace) -> None:
    """Train what was found, and compare by seed."""
    opened = open_search([], arguments)
    path = Path(arguments.results, "judges.jsonl")
    jobs = [
        (replace(make_job(arch, arguments.epochs, 10_000, judge), test=True), path)
        for arch in found.values()
        for judge in range(arguments.judges)
    ]
    with TrainEvaluator(opened.data, opened.config.training, opened.config.workers) as evaluator:
        records = trained(run_jobs(evaluator, jobs))
    accuracy = np.array([100 * record.metrics["test_accuracy"] for record in records])
    check_finite("test accuracies", accuracy, low=5, high=100)
    means = accuracy.reshape(len(found), arguments.judges).mean(1)
    table = pd.DataFrame(
        [(seed, arm, mean) for (arm, seed), mean in zip(found, means, strict=True)],
        columns=["seed", "arm", "test_accuracy"],
    ).pivot(index="seed", columns="arm", values="test_accuracy")
    table["difference"] = table["surrogate"] - table["random"]
    print(table.round(2).to_string())
    gain = table["difference"].to_numpy()
    low, high = mean_interval(gain)
    print(
        f"surrogate with halving less random: {gain.mean():+.2f} points of test accuracy "
        f"({low:+.2f} to {high:+.2f}, 95%, t, {len(gain)} seeds)"
    )


if __name__ == "__main__":
    main()
