"""A supernet against stand-alone training: rank agreement on held-out members, and what it costs.

    python results/benchmarks/supernet.py --test-root /usr/share/datasets/fashion-mnist

The held-out members are random feasible ones of the default space, drawn from a seed of their own.
What they are worth is the mean test accuracy of `--seeds` long stand-alone trainings of each, on
images that neither the proxy nor the supernet sees. How the supernet orders them is set beside how
one proxy training of each does, and both beside the order that noise leaves to a perfect judge;
`--variant proxy.init_from=supernet,proxy.epochs=1,proxy.lr=0.005` sets another proxy training, of
one seed, beside them. All but the long trainings run on one thread, one after the other, so that
their seconds compare. What was trained is kept: the same command goes on;
`seed=1 study=other --long FILE` asks another supernet about the same members.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
from harness import check_finite, make_parser, parse, print_foot, results_folder
from numpy.typing import NDArray
from opening import add_search_arguments, open_search, settled_as, trained

from search.assess.statistics import kendall_difference, rank_correlation
from search.assess.trust import ceilings, reliability
from search.config.compose import compose_config
from search.config.schema import RunConfig
from search.evaluators.batch import run_jobs
from search.evaluators.supernet import SupernetEvaluator, obtain_supernet
from search.evaluators.train import Job, TrainEvaluator, make_job
from search.record.folder import StudyFolder, StudyLock
from search.record.trials import TrialRecord, derive_seed
from search.space.budget import cost_budget
from search.space.members import draw_members
from search.study.settle import decide
from search.training.checkpoint import read_checkpoint

METRICS = {"val_accuracy": 1, "val_loss": -1}
PROXY = "one proxy training"


def main() -> None:
    parser = make_parser(__doc__)
    add_search_arguments(parser)
    parser.add_argument("--members", type=int, default=40)
    parser.add_argument("--long-epochs", type=int, default=12)
    parser.add_argument("--seeds", type=int, default=4, help="of the long trainings, at least 2")
    parser.add_argument("--proxy-seeds", type=int, default=2, help="at least 2")
    parser.add_argument("--long", type=Path, help="file of the long trainings")
    parser.add_argument("--variant", action="append", default=[], help="settings, a comma between")
    parser.add_argument("settings", nargs="*", help="such as budget.max_macs=1M")
    arguments = parse(
        parser, workers=1, images=500, members=4, long_epochs=1, seeds=2,
        settings=["supernet.epochs=1", "proxy.epochs=1"],
        variant=["proxy.init_from=supernet,proxy.epochs=1"],
    )  # fmt: skip
    with results_folder("results", arguments.quick) as results:
        compare_supernet(arguments, results)
    print_foot(arguments)


def compare_supernet(arguments: argparse.Namespace, results: Path) -> None:
    settings = ["study=supernet_benchmark", f"results_dir={results}", "space=tiny"]
    if not any(setting.startswith("budget.") for setting in arguments.settings):
        settings.append("budget.max_macs=2M")
    settings += arguments.settings
    opened = open_search([*settings, "workers.count=1"], arguments)
    config, data, candidates = opened.config, opened.data, opened.members
    variants = {
        variant: settled_as(
            opened, compose_config("config", [*settings, *variant.split(",")], RunConfig)
        )
        for variant in arguments.variant
    }
    members = draw_members(candidates, arguments.members, derive_seed(0, "held-out"))
    short = [
        make_job(member, config.proxy.epochs, 0, replicate)
        for member in members
        for replicate in range(arguments.proxy_seeds)
    ]
    long = [
        replace(make_job(member, arguments.long_epochs, 0, replicate), test=True, long=True)
        for member in members
        for replicate in range(arguments.seeds)
    ]
    folder = StudyFolder(config.results_dir, config.study)
    with StudyLock(folder):
        folder.open(config)
        supernet = obtain_supernet(config, data, folder, candidates)
        with SupernetEvaluator(supernet, data, config.supernet, config.workers) as evaluator:
            jobs = [make_job(each, 0, 0) for each in members]
            rankers = {"the supernet": finished(evaluator, jobs, folder / "judged.jsonl")}
        for number, (variant, other) in enumerate(variants.items()):
            with TrainEvaluator(data, other.training, config.workers, supernet) as evaluator:
                jobs = [
                    # Another seed than those of the proxy trainings whose mean is compared with.
                    replace(
                        make_job(each, other.proxy.epochs, 0, arguments.proxy_seeds),
                        inherit=other.inherits,
                    )
                    for each in members
                ]
                path = folder / f"variant{number}.jsonl"
                rankers[variant] = finished(evaluator, jobs, path)
        with TrainEvaluator(data, config.training, config.workers) as trainer:
            proxies = grouped(finished(trainer, short, folder / "proxy.jsonl"), members)
        asked: RunConfig = compose_config(
            "config", [f"workers.count={arguments.workers}", *settings], RunConfig
        )
        side_by_side = decide(asked, data, candidates).workers
        with TrainEvaluator(data, config.training, side_by_side) as trainer:
            path = arguments.long or folder / "long.jsonl"
            longest = grouped(finished(trainer, long, path), members)
    print(f"{len(members)} held-out members within {cost_budget(config)}, {config.supernet}")
    seconds = read_checkpoint(folder / "supernet.pt")["seconds"]
    each = float(np.mean([took(record) for records in proxies for record in records]))
    print(
        f"a proxy training takes {each:.2f} s, the supernet's {seconds:.0f} s, as many as "
        f"{seconds / each:.1f} of them; a candidate:"
    )
    for name, records in rankers.items():
        spent = [took(record) for record in records]
        print(f"  {name}: median {np.median(spent):.2f} s, at most {max(spent):.2f} s")
    for metric, sign in METRICS.items():
        name = f"{metric} of the proxy, mean of {arguments.proxy_seeds} seeds"
        report_truth(name, sign * measured(proxies, metric), rankers)
    rankers[PROXY] = [records[0] for records in proxies]
    name = f"test accuracy after {arguments.long_epochs} epochs, mean of {arguments.seeds} seeds"
    report_truth(name, measured(longest, "test_accuracy"), rankers)


def finished(
    evaluator: SupernetEvaluator | TrainEvaluator, jobs: list[Job], path: Path
) -> list[TrialRecord]:
    records = trained(run_jobs(evaluator, [(job, path) for job in jobs]))
    check_finite("accuracies", [record.metrics["val_accuracy"] for record in records], 0.02, 1)
    return records


def grouped(records: list[TrialRecord], members: list[str]) -> list[list[TrialRecord]]:
    """The trainings of each member."""
    return [[record for record in records if record.arch == member] for member in members]


def took(record: TrialRecord) -> float:
    return sum(record.seconds.values())


def measured(records: list[list[TrialRecord]], metric: str) -> NDArray[np.float64]:
    """(members, seeds)"""
    return np.array([[record.metrics[metric] for record in each] for each in records])


def report_truth(
    name: str, values: NDArray[np.float64], rankers: dict[str, list[TrialRecord]]
) -> None:
    """How each of `rankers` orders the members, of whom `values` (members, seeds) are true."""
    truth = values.mean(1)
    noise = float(values.var(1, ddof=1).mean())
    kept = reliability(truth, noise / values.shape[1])
    print(
        f"\n{name} (mean {abs(truth.mean()):.4f}; deviation between members "
        f"{truth.std(ddof=1):.4f}, between seeds {noise**0.5:.4f}): {kept:.0%} of the variance of "
        f"these means is not the noise of seeds, so tau is at best {ceilings(1.0, kept)[0]:.2f}"
    )
    for metric, sign in METRICS.items():
        given = {
            ranker: sign * np.array([record.metrics[metric] for record in records])
            for ranker, records in rankers.items()
        }
        for ranker, order in given.items():
            line = f"  by {metric}, {ranker}: {said(order, truth)}"
            if PROXY in given and ranker != PROXY:
                less = kendall_difference(order, given[PROXY], truth)
                line += f"; less a proxy training {less.value:+.2f} "
                line += f"({less.interval[0]:+.2f} to {less.interval[1]:+.2f})"
            print(line)
    for what in ("params", "macs"):
        order = np.array([getattr(record.cost, what) for record in rankers["the supernet"]])
        print(f"  by {what}: {said(order, truth)}")


def said(order: NDArray[np.float64], truth: NDArray[np.float64]) -> str:
    found = rank_correlation(order, truth)
    (low, high), (rho_low, rho_high) = found.tau_interval, found.rho_interval
    return (
        f"tau {found.tau:.2f} ({low:.2f} to {high:.2f}), "
        f"rho {found.rho:.2f} ({rho_low:.2f} to {rho_high:.2f})"
    )


if __name__ == "__main__":
    main()
