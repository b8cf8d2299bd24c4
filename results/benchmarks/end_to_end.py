"""Whole searches by the defaults: what they find, against random members and published networks.

    python results/benchmarks/end_to_end.py --seeds 5
    python results/benchmarks/end_to_end.py --seeds 3 --results results/photos --set \\
        dataset=imagefolder dataset.root=photos proxy.resolution=32 budget.target=4M

For each seed the real command searches. The B0 of each, the published networks and random members
of the same space at the same budget are then trained alike: `--epochs` long, at full resolution,
with seeds that no search has seen, and judged on the test split, which steers nothing. Results are
kept: the same command goes on where it stopped.

The deviation of random members is that of the networks: what the seeds of their trainings add is
taken away, where each has two or more.
"""

import argparse
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import yaml
from harness import (
    check_finite,
    deviations,
    make_parser,
    mean_interval,
    parse,
    print_foot,
    results_folder,
)
from numpy.typing import NDArray
from opening import add_search_arguments, open_search, trained

from blocks.arch import format_arch
from search.evaluators.batch import run_jobs
from search.evaluators.train import TrainEvaluator, make_job
from search.record.folder import StudyFolder
from search.space.members import draw_members
from search.study.reference import references_of


def main() -> None:
    parser = make_parser(__doc__)
    add_search_arguments(parser)
    parser.add_argument("--set", nargs="+", default=[], help="settings of the searches")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--trials", type=int, help="candidates of a search; else the default")
    parser.add_argument("--members", type=int, default=10, help="random ones")
    parser.add_argument("--epochs", type=int, default=20, help="of the judges")
    parser.add_argument("--judges", type=int, default=2, help="trainings of every network")
    parser.add_argument("--crop-padding", type=int, default=3, help="of the judges, pixels")
    parser.add_argument("--results", default="results/end_to_end")
    arguments = parse(
        parser, workers=1, images=500, seeds=1, trials=2, members=2, epochs=1, judges=1,
        set=["proxy.epochs=1", "search.final_epochs=1", "search.controls=0", "workers.count=1",
             "search.references=[efficientnet_b0]", "budget.target=500k"],
    )  # fmt: skip
    if arguments.trials is not None:
        arguments.set = [*arguments.set, f"search.trials={arguments.trials}"]
    with results_folder(arguments.results, arguments.quick) as folder:
        judge(search(arguments, folder), arguments, folder)
    print_foot(arguments)


def search(arguments: argparse.Namespace, folder: Path) -> list[str]:
    """The B0 of each seed."""
    found = []
    for seed in range(arguments.seeds):
        study = StudyFolder(str(folder), f"seed_{seed}")
        if not (study / "b0.yaml").exists():
            command = [
                *(sys.executable, "-m", "search", "run", f"study={study.study}", f"seed={seed}"),
                *(f"results_dir={folder}", "search.scale=false", *arguments.set),
            ]
            subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
        content = yaml.safe_load((study / "b0.yaml").read_text())
        found.append(str(content["arch"]))
        print(f"seed {seed}: {found[-1]}", flush=True)
    return found


def judge(found: list[str], arguments: argparse.Namespace, folder: Path) -> None:
    """Train all for long, and compare."""
    opened = open_search(arguments.set, arguments)
    config, data = opened.config, opened.data
    published = {
        each.name: format_arch(each.arch)
        for each in references_of(config, data.in_channels, data.num_classes)
    }
    members = draw_members(opened.members, arguments.members, 10_000)
    archs = list(dict.fromkeys([*found, *published.values(), *members]))
    jobs = [
        (
            replace(make_job(arch, arguments.epochs, 10_000, seed), test=True),
            folder / "judges.jsonl",
        )
        for arch in archs
        for seed in range(arguments.judges)
    ]
    proxy = replace(config.training, start_resolution=1.0, crop_padding=arguments.crop_padding)
    with TrainEvaluator(data, proxy, config.workers) as evaluator:
        records = trained(run_jobs(evaluator, jobs))
    accuracy = np.array([100 * record.metrics["test_accuracy"] for record in records])
    check_finite("test accuracies", accuracy, low=1, high=100)
    by_arch = dict(zip(archs, accuracy.reshape(len(archs), -1), strict=True))
    show(found, published, members, by_arch)


def show(
    found: list[str],
    published: dict[str, str],
    members: list[str],
    by_arch: dict[str, NDArray[np.float64]],
) -> None:
    """Print the table, and the gains."""
    names = {arch: name for name, arch in published.items()}
    rows = [(f"B0 of seed {seed}", arch) for seed, arch in enumerate(found)]
    rows += list(published.items()) + [("random", arch) for arch in members]
    table = pd.DataFrame(
        [
            (what + (f" = {names[arch]}" if arch in names and what not in names.values() else ""),
             by_arch[arch].mean(), arch)
            for what, arch in rows
        ],
        columns=["network", "test accuracy", "arch"],
    )  # fmt: skip
    print(table.round(2).to_string(index=False))
    each = np.stack([by_arch[arch] for arch in members])
    level = float(each.mean())
    deviation, _ = deviations(each)
    print(f"random members: {level:.2f}, true deviation {deviation:.2f} points")
    chosen = np.array([by_arch[arch].mean() for arch in found])
    gains = {"the mean random member": chosen - level}
    if published:
        best = max(published, key=lambda name: by_arch[published[name]].mean())
        gains[f"the best published network, {best}"] = chosen - by_arch[published[best]].mean()
    for what, gain in gains.items():
        interval = ""
        if len(gain) > 1:
            low, high = mean_interval(gain)
            interval = f" ({low:+.2f} to {high:+.2f}, 95%, t)"
        share = f", {gain.mean() / deviation:+.2f} deviations" if deviation > 0 else ""
        print(f"B0 of {len(gain)} searches less {what}: {gain.mean():+.2f} points{interval}{share}")


if __name__ == "__main__":
    main()
