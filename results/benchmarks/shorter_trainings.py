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
from harness import check_finite, deviations, make_parser, parse, print_foot, results_folder
from opening import add_search_arguments, open_search, settled_as, trained
from scipy.stats import kendalltau

from search.assess.statistics import kendall_difference
from search.config.compose import compose_config
from search.config.schema import RunConfig
from search.evaluators.batch import run_jobs
from search.evaluators.train import TrainEvaluator, make_job
from search.record.trials import TrialRecord
from search.space.members import draw_members

TURN = 8
"""Members that are trained by one variant before the next has its turn."""


def main() -> None:
    parser = make_parser(__doc__, seed=5)
    add_search_arguments(parser)
    parser.add_argument("variants", nargs="*", help="such as proxy.start_resolution=0.5")
    parser.add_argument("--common", action="append", default=[], help="setting of all of them")
    parser.add_argument("--members", type=int, default=40)
    parser.add_argument("--long-epochs", type=int, default=12)
    parser.add_argument("--seeds", type=int, default=2, help="of the long schedule")
    parser.add_argument("--folder", type=Path, default=Path("results/shorter_trainings"))
    arguments = parse(
        parser, workers=1, images=500, variants=["proxy.start_resolution=1"],
        common=["proxy.epochs=1"], members=4, long_epochs=2,
    )  # fmt: skip
    with results_folder(arguments.folder, arguments.quick) as folder:
        compare_variants(arguments, folder)
    print_foot(arguments)


def compare_variants(arguments: argparse.Namespace, folder: Path) -> None:
    variants = {"as it is": list(arguments.common)}
    variants |= {one: [*arguments.common, *one.split(",")] for one in arguments.variants}
    opened = open_search(arguments.common, arguments)
    configs = {
        name: settled_as(opened, compose_config("config", each, RunConfig))
        for name, each in variants.items()
    }
    data, workers = opened.data, opened.config.workers
    spellings = draw_members(opened.members, arguments.members, arguments.seed)
    found: dict[str, list[TrialRecord]] = {}
    for first in range(0, len(spellings), TURN):
        for name, config in configs.items():
            path = folder / f"{name.replace(' ', '-')}.jsonl"
            with TrainEvaluator(data, config.training, workers) as evaluator:
                # The first training of a process also loads libraries: its time is not its own.
                warm = [make_job(spellings[0], 1, 0, 9 + n) for n in range(workers.count)]
                for future in [evaluator.evaluate(job) for job in warm]:
                    future.result()
                jobs = [
                    make_job(each, config.proxy.epochs, 0)
                    for each in spellings[first : first + TURN]
                ]
                records = trained(run_jobs(evaluator, [(job, path) for job in jobs]))
                found.setdefault(name, []).extend(records)
            print(name, first, flush=True)
    long = [
        replace(make_job(each, arguments.long_epochs, 1, replicate), test=True, long=True)
        for each in spellings
        for replicate in range(arguments.seeds)
    ]
    with TrainEvaluator(data, opened.config.training, workers) as evaluator:
        done = trained(run_jobs(evaluator, [(job, folder / "long.jsonl") for job in long]))
    report(found, done, arguments.seeds)


def report(found: dict[str, list[TrialRecord]], long: list[TrialRecord], seeds: int) -> None:
    """Print what each variant takes and how it ranks, and its difference to the first."""
    test = np.array([one.metrics["test_accuracy"] for one in long]).reshape(-1, seeds)
    check_finite("test accuracies", test, low=0.05, high=1)
    truth = test.mean(1)
    members, noise = deviations(test)
    print(
        f"{len(truth)} members; long: {np.mean([one.seconds['train'] for one in long]):.1f} s, "
        f"test accuracy {truth.mean():.4f}, deviation between members {members:.4f}, "
        f"between seeds {noise:.4f}"
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
        costs = np.array([getattr(one.cost, what) for one in found[names[0]]])
        print(f"{what}: tau {kendalltau(costs, truth).statistic:.2f}")


if __name__ == "__main__":
    main()
