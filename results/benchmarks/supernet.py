"""A supernet against stand-alone training: rank agreement on held-out members, and what it costs.

    python results/benchmarks/supernet.py --test-root /usr/share/datasets/fashion-mnist

The held-out members are random feasible ones of the default space, drawn from a seed of their own.
What they are worth is the mean test accuracy of `--seeds` long stand-alone trainings of each, on
images that neither the proxy nor the supernet sees. How the supernet orders them is set beside how
one proxy training of each does, and both beside the order that noise leaves to a perfect judge.
The supernet and the proxy train on one thread, one after the other, so that their seconds compare.
What was trained is kept: the same command goes on; `seed=1 study=other --truth FILE` asks another
supernet about the same members.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from blocks.machine import machine, versions
from search.batch import run_jobs
from search.candidates import SpaceCandidates
from search.cli import compose_config
from search.config import DatasetConfig, RunConfig
from search.data import load_data
from search.evaluators.supernet import SupernetEvaluator, obtain_supernet
from search.evaluators.train import Job, TrainEvaluator, make_job
from search.fidelity import ceilings, draw_members, reliability
from search.record import StudyFolder, StudyLock, TrialRecord, derive_seed
from search.space import build_space
from search.statistics import kendall_difference, rank_correlation
from search.training import read_checkpoint
from search.workers import plan_workers

METRICS = {"val_accuracy": 1, "val_loss": -1}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--members", type=int, default=40)
    parser.add_argument("--long-epochs", type=int, default=12)
    parser.add_argument("--seeds", type=int, default=4, help="of the long trainings, at least 2")
    parser.add_argument("--proxy-seeds", type=int, default=2, help="at least 2")
    parser.add_argument("--test-root", help="folder of the idx files of Fashion-MNIST")
    parser.add_argument("--truth", type=Path, help="file of the stand-alone trainings")
    parser.add_argument("settings", nargs="*", help="such as budget.max_macs=1M")
    arguments = parser.parse_args()
    settings = ["study=supernet_benchmark", *arguments.settings]
    config: RunConfig = compose_config("config", [*settings, "workers.count=1"], RunConfig)
    resolution = config.proxy.resolution
    data = load_data(config.dataset, resolution)
    if arguments.test_root:
        whole = DatasetConfig(name="fashion_mnist_full", root=arguments.test_root)
        data = replace(data, test=load_data(whole, resolution).test)
    budget = config.cost_budget
    space = build_space(config.space, resolution, data.in_channels, data.num_classes, budget)
    candidates = SpaceCandidates(space, budget, data.num_classes)
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
        truth = arguments.truth or folder / "held_out.jsonl"
        supernet = obtain_supernet(config, data, folder, candidates)
        with SupernetEvaluator(supernet, data, config.supernet, config.workers) as judges:
            judged = finished(
                judges, [make_job(each, 0, 0) for each in members], folder / "judged.jsonl"
            )
        with TrainEvaluator(data, config.training, config.workers) as trainer:
            proxies = finished(trainer, short, truth)
        side_by_side = plan_workers(compose_config("config", settings, RunConfig), space, data)
        with TrainEvaluator(data, config.training, side_by_side.workers) as trainer:
            trained = finished(trainer, long, truth)
    print(f"{len(members)} held-out members within {budget}, {config.supernet}")
    report_costs(judged, proxies, read_checkpoint(folder / "supernet.pt")["seconds"])
    report_orders(judged, grouped(proxies, members), grouped(trained, members))
    print(f"{vars(arguments)}, {machine()}, {versions()}")


def finished(
    evaluator: SupernetEvaluator | TrainEvaluator, jobs: list[Job], path: Path
) -> list[TrialRecord]:
    records = run_jobs(evaluator, [(job, path) for job in jobs])
    failed = [record for record in records if not isinstance(record, TrialRecord)]
    if failed:
        raise SystemExit(f"{failed[0].arch} failed: {failed[0].error}")
    return [record for record in records if isinstance(record, TrialRecord)]


def grouped(records: list[TrialRecord], members: list[str]) -> list[list[TrialRecord]]:
    """The trainings of each member."""
    return [[record for record in records if record.arch == member] for member in members]


def report_costs(judged: list[TrialRecord], proxies: list[TrialRecord], seconds: float) -> None:
    each = float(np.mean([sum(record.seconds.values()) for record in proxies]))
    candidate = [sum(record.seconds.values()) for record in judged]
    print(
        f"a proxy training: {each:.2f} s; the supernet: {seconds:.0f} s, as {seconds / each:.1f} "
        f"of them; a candidate by it: median {np.median(candidate):.2f} s, at most "
        f"{max(candidate):.2f} s"
    )


def report_orders(
    judged: list[TrialRecord], proxies: list[list[TrialRecord]], trained: list[list[TrialRecord]]
) -> None:
    judges = {
        f"supernet's {metric}": sign * np.array([one.metrics[metric] for one in judged])
        for metric, sign in METRICS.items()
    }
    baselines = {
        what: np.array([getattr(record.cost, what) for record in judged])
        for what in ("params", "macs")
    }
    for metric, sign in METRICS.items():
        values = sign * measured(proxies, metric)
        name = f"{metric} of the proxy, mean of {values.shape[1]} seeds"
        report_truth(name, values, judges | baselines)
    first = {
        f"one proxy training's {metric}": sign * measured(proxies, metric)[:, 0]
        for metric, sign in METRICS.items()
    }
    test = measured(trained, "test_accuracy")
    epochs = trained[0][0].fidelity["epochs"]
    name = f"test accuracy after {epochs} epochs, mean of {test.shape[1]} seeds"
    report_truth(name, test, judges | first | baselines)
    for metric in METRICS:
        pair = judges[f"supernet's {metric}"], first[f"one proxy training's {metric}"]
        found = kendall_difference(*pair, test.mean(1))
        print(
            f"supernet less one proxy training, by {metric}: tau {found.value:+.2f} "
            f"({found.interval[0]:+.2f} to {found.interval[1]:+.2f}, 95%, paired bootstrap)"
        )


def measured(records: list[list[TrialRecord]], metric: str) -> NDArray[np.float64]:
    """(members, seeds)"""
    return np.array([[record.metrics[metric] for record in each] for each in records])


def report_truth(
    name: str, values: NDArray[np.float64], judges: dict[str, NDArray[np.float64]]
) -> None:
    """How each of `judges` orders the members, of whom `values` (members, seeds) are true."""
    truth = values.mean(1)
    noise = float(values.var(1, ddof=1).mean())
    kept = reliability(truth, noise / values.shape[1])
    print(
        f"\n{name} (mean {abs(truth.mean()):.4f}; deviation between members "
        f"{truth.std(ddof=1):.4f}, between seeds {noise**0.5:.4f}): {kept:.0%} of the variance of "
        f"these means is not the noise of seeds, so tau is at best {ceilings(1.0, kept)[0]:.2f}"
    )
    for judge, given in judges.items():
        found = rank_correlation(given, truth)
        print(
            f"  {judge:36} tau {found.tau:.2f} ({found.tau_interval[0]:.2f} to "
            f"{found.tau_interval[1]:.2f}), rho {found.rho:.2f} ({found.rho_interval[0]:.2f} to "
            f"{found.rho_interval[1]:.2f})"
        )


if __name__ == "__main__":
    main()
