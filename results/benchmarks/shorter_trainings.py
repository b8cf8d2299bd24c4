"""Does a shorter training rank networks as well? Variants of the proxy against a long schedule.

    python results/benchmarks/shorter_trainings.py proxy.start_resolution=0.5 proxy.ema=0.98

Random members of the default space are trained by the proxy as it is, by each variant (a comma
between its settings), and for `--long-epochs` at full resolution with `--seeds` seeds. What ranks
is validation accuracy or loss of one training; what is true is the mean test accuracy of the long
ones, on other images than those. Members take turns between the variants, so that seconds compare.
What was trained is kept in `--folder`: the same command goes on.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
from held_out_images import with_test_images
from scipy.stats import kendalltau

from blocks.machine import machine, versions
from search.assess.statistics import kendall_difference
from search.config.compose import compose_config
from search.config.schema import RunConfig
from search.data.datasets import load_data
from search.evaluators.batch import run_jobs
from search.evaluators.train import TrainEvaluator, make_job
from search.evaluators.workers import plan_workers
from search.record.trials import TrialRecord
from search.space.choices import build_space
from search.space.members import SpaceCandidates, draw_members

TURN = 8
"""Members that are trained by one variant before the next has its turn."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("variants", nargs="*", help="such as proxy.start_resolution=0.5")
    parser.add_argument("--common", action="append", default=[], help="setting of all of them")
    parser.add_argument("--members", type=int, default=40)
    parser.add_argument("--long-epochs", type=int, default=12)
    parser.add_argument("--seeds", type=int, default=2, help="of the long schedule")
    parser.add_argument("--test-root", help="folder of the idx files of Fashion-MNIST")
    parser.add_argument("--folder", type=Path, default=Path("results/shorter_trainings"))
    parser.add_argument("--seed", type=int, default=5)
    arguments = parser.parse_args()
    variants = {"as it is": list(arguments.common)}
    variants |= {one: [*arguments.common, *one.split(",")] for one in arguments.variants}
    configs = {name: compose_config("config", each, RunConfig) for name, each in variants.items()}
    base = configs["as it is"]
    resolution = base.proxy.resolution
    data = load_data(base.dataset, resolution)
    data = with_test_images(data, arguments.test_root, resolution)
    budget = base.cost_budget
    space = build_space(base.space, resolution, data.in_channels, data.num_classes, budget)
    workers = plan_workers(base, space, data).workers
    candidates = SpaceCandidates(space, budget, data.num_classes)
    spellings = draw_members(candidates, arguments.members, arguments.seed)
    arguments.folder.mkdir(parents=True, exist_ok=True)
    found: dict[str, list[TrialRecord]] = {}
    for first in range(0, len(spellings), TURN):
        for name, config in configs.items():
            path = arguments.folder / f"{name.replace(' ', '-')}.jsonl"
            with TrainEvaluator(data, config.training, workers) as evaluator:
                # The first training of a process also loads libraries: its time is not its own.
                warm = [make_job(spellings[0], 1, 0, 9 + n) for n in range(workers.count)]
                for future in [evaluator.evaluate(job) for job in warm]:
                    future.result()
                jobs = [
                    make_job(each, config.proxy.epochs, 0)
                    for each in spellings[first : first + TURN]
                ]
                found.setdefault(name, []).extend(
                    run_jobs(evaluator, [(job, path) for job in jobs])
                )
            print(name, first, flush=True)
    long = [
        replace(make_job(each, arguments.long_epochs, 1, replicate), test=True, long=True)
        for each in spellings
        for replicate in range(arguments.seeds)
    ]
    with TrainEvaluator(data, base.training, workers) as evaluator:
        done = run_jobs(evaluator, [(job, arguments.folder / "long.jsonl") for job in long])
    report(found, done, arguments.seeds)
    print(f"{vars(arguments)}, {machine()}, {versions()}")


def report(found: dict[str, list[TrialRecord]], long: list[TrialRecord], seeds: int) -> None:
    """Print what each variant takes and how it ranks, and its difference to the first."""
    test = np.array([one.metrics["test_accuracy"] for one in long]).reshape(-1, seeds)
    truth = test.mean(1)
    print(
        f"{len(truth)} members; long: {np.mean([one.seconds['train'] for one in long]):.1f} s, "
        f"test accuracy {truth.mean():.4f}, deviation between members {truth.std(ddof=1):.4f}, "
        f"between seeds {test.var(1, ddof=1).mean() ** 0.5:.4f}"
    )
    names = list(found)
    took = {name: np.array([one.seconds["train"] for one in found[name]]) for name in names}
    for metric, sign in (("val_accuracy", 1), ("val_loss", -1)):
        values = {
            name: sign * np.array([one.metrics[metric] for one in found[name]]) for name in names
        }
        first = values[names[0]]
        for name in names:
            tau = kendalltau(values[name], truth).statistic
            less = kendall_difference(values[name], first, truth)
            print(
                f"{metric} {name}: tau {tau:.2f}, less that of the proxy as it is "
                f"{less.value:+.2f} ({less.interval[0]:+.2f} to {less.interval[1]:+.2f}); "
                f"time {np.median(took[name] / took[names[0]]):.2f} of its"
            )
    for what in ("macs", "params"):
        values = np.array([getattr(one.cost, what) for one in found[names[0]]])
        print(f"{what}: tau {kendalltau(values, truth).statistic:.2f}")


if __name__ == "__main__":
    main()
