"""A supernet against stand-alone training: rank agreement on held-out members, and what it costs.

    python results/benchmarks/supernet.py --members 40 budget.max_macs=2M

The held-out members are random feasible ones of the default space, drawn from a seed of their own;
each is trained alone by the proxy (or for `--epochs`), some with several seeds, which says what
agreement their noise leaves to a perfect judge. All on one thread of one worker, one after the
other, so that the seconds compare. What was trained is kept: the same command goes on.
"""

import argparse
from pathlib import Path

import numpy as np

from blocks.machine import machine, versions
from search.batch import run_jobs
from search.candidates import SpaceCandidates
from search.cli import compose_config
from search.config import RunConfig
from search.data import load_data
from search.evaluators.supernet import SupernetEvaluator, obtain_supernet
from search.evaluators.train import TrainEvaluator, make_job
from search.fidelity import ceilings, draw_members, reliability
from search.record import StudyFolder, StudyLock, TrialRecord, derive_seed
from search.space import build_space
from search.statistics import Correlation, rank_correlation
from search.training import read_checkpoint


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--members", type=int, default=40)
    parser.add_argument("--repeated", type=int, default=8, help="members with several seeds")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--epochs", type=int, help="of stand-alone training; default: the proxy's")
    parser.add_argument("--truth", type=Path, help="file of the stand-alone trainings")
    parser.add_argument("settings", nargs="*", help="such as budget.target=2M")
    arguments = parser.parse_args()
    config: RunConfig = compose_config(
        "config", ["study=supernet_benchmark", *arguments.settings, "workers.count=1"], RunConfig
    )
    epochs = arguments.epochs or config.proxy.epochs
    data = load_data(config.dataset, config.proxy.resolution)
    budget = config.cost_budget
    space = build_space(
        config.space, config.proxy.resolution, data.in_channels, data.num_classes, budget
    )
    candidates = SpaceCandidates(space, budget, data.num_classes)
    members = draw_members(candidates, arguments.members, derive_seed(0, "held-out"))
    folder = StudyFolder(config.results_dir, config.study)
    with StudyLock(folder):
        folder.open(config)
        truth = arguments.truth or folder / "held_out.jsonl"
        jobs = [
            (make_job(member, epochs, 0, replicate), truth)
            for number, member in enumerate(members)
            for replicate in range(arguments.seeds if number < arguments.repeated else 1)
        ]
        supernet = obtain_supernet(config, data, folder, candidates)
        with SupernetEvaluator(supernet, data, config.supernet, config.workers) as judges:
            work = [(make_job(member, 0, 0), folder / "judged.jsonl") for member in members]
            judged = [one for one in run_jobs(judges, work) if isinstance(one, TrialRecord)]
        with TrainEvaluator(data, config.training, config.workers) as trainer:
            trained = [one for one in run_jobs(trainer, jobs) if isinstance(one, TrialRecord)]
    report(config, trained, judged, read_checkpoint(folder / "supernet.pt")["seconds"])


def report(
    config: RunConfig, trained: list[TrialRecord], judged: list[TrialRecord], seconds: float
) -> None:
    """Print the agreement and the costs."""
    by_arch: dict[str, list[TrialRecord]] = {}
    for record in trained:
        by_arch.setdefault(record.arch, []).append(record)
    first = [by_arch[record.arch][0] for record in judged]
    each = float(np.mean([sum(record.seconds.values()) for record in trained]))
    candidate = [sum(record.seconds.values()) for record in judged]
    print(f"{len(judged)} held-out members within {config.cost_budget}, {config.supernet}")
    print(
        f"stand-alone training ({trained[0].fidelity['epochs']} epochs): {each:.1f} s each; "
        f"the supernet: {seconds:.0f} s, as {seconds / each:.1f} of them; a candidate by it: "
        f"median {np.median(candidate):.2f} s, at most {max(candidate):.2f} s"
    )
    for metric in ("val_accuracy", "val_loss"):
        alone = np.array([record.metrics[metric] for record in first])
        shared = np.array([record.metrics[metric] for record in judged])
        noise = [
            float(np.var([record.metrics[metric] for record in records], ddof=1))
            for records in by_arch.values()
            if len(records) > 1
        ]
        kept = reliability(alone, float(np.mean(noise)) if noise else 0.0)
        tau, _ = ceilings(1.0, kept)
        sign = 1 if metric == "val_accuracy" else -1
        print(
            f"{metric} of stand-alone training (mean {alone.mean():.4f}, deviation "
            f"{alone.std(ddof=1):.4f}, {kept:.0%} of its variance not the noise of seeds, so tau "
            f"is at best {tau:.2f}):"
        )
        rows = {
            f"supernet's {metric} (mean {shared.mean():.4f})": rank_correlation(alone, shared),
            "supernet's other metric": rank_correlation(
                alone,
                [-record.metrics[_OTHER[metric]] for record in judged],
            ),
            "params": rank_correlation(sign * alone, [one.cost.params for one in judged]),
            "macs": rank_correlation(sign * alone, [one.cost.macs for one in judged]),
        }
        for name, found in rows.items():
            print(f"  {name}: {_said(found)}")
    print(machine(), versions())


_OTHER = {"val_accuracy": "val_loss", "val_loss": "val_accuracy"}


def _said(found: Correlation) -> str:
    tau, rho = found.tau_interval, found.rho_interval
    return (
        f"tau {found.tau:.2f} ({tau[0]:.2f} to {tau[1]:.2f}), "
        f"rho {found.rho:.2f} ({rho[0]:.2f} to {rho[1]:.2f})"
    )


if __name__ == "__main__":
    main()
