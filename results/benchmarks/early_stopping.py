"""What a pruner saves and what it costs: halving and Hyperband on real curves.

    python results/benchmarks/early_stopping.py --members 60 --epochs 9

Random members of the default space at an exact budget are trained to the end, validated after every
epoch. Their curves are then gone through in `--orders` random orders of `--trials` each, as a
search would, by every pruner in turn: the share of the epochs that were trained, and how much worse
in test accuracy the one that the search would choose (least validation loss of those trained to the
end) is than the one that no pruner would have chosen. What was trained is kept in `--folder`.
"""

import argparse
import json
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import replace
from pathlib import Path

import numpy as np
import optuna
from harness import check, check_finite, make_parser, parse, print_foot, results_folder
from numpy.typing import NDArray
from opening import add_search_arguments, open_search

from search.config.compose import compose_config
from search.config.schema import RunConfig
from search.evaluators.train import Evaluation, Job, TrainEvaluator, make_job
from search.space.members import draw_members
from search.study.memory import build_pruner, rungs

PRUNERS: dict[str, list[str]] = {
    "none": ["search.pruner=none"],
    "asha": ["search.pruner=asha"],
    "hyperband": ["search.pruner=hyperband"],
}


def main() -> None:
    parser = make_parser(__doc__, seed=6)
    add_search_arguments(parser)
    parser.add_argument("--target", default="200k", help="macs of every member")
    parser.add_argument("--members", type=int, default=60)
    parser.add_argument("--epochs", type=int, default=9)
    parser.add_argument("--trials", type=int, default=40)
    parser.add_argument("--orders", type=int, default=100)
    parser.add_argument("--folder", type=Path, default=Path("results/early_stopping"))
    arguments = parse(parser, workers=1, images=500, members=4, epochs=3, trials=4, orders=5)
    with results_folder(arguments.folder, arguments.quick) as folder:
        compare_pruners(arguments, folder)
    print_foot(arguments)


def compare_pruners(arguments: argparse.Namespace, folder: Path) -> None:
    common = [f"budget.target={arguments.target}", f"proxy.epochs={arguments.epochs}",
              "space=tiny", "search.min_epochs=1", "proxy.ema=0.98"]  # fmt: skip
    opened = open_search(common, arguments)
    config = opened.config
    spellings = draw_members(opened.members, arguments.members, arguments.seed)
    path = folder / "curves.jsonl"
    known = {}
    if path.exists():
        for line in path.read_text().splitlines():
            curve = json.loads(line)
            known[curve["arch"]] = curve
    missing = [each for each in spellings if each not in known]
    if missing:
        with TrainEvaluator(opened.data, config.training, config.workers) as evaluator:
            known |= train_curves(missing, evaluator, arguments.epochs, path)
    losses = np.array([known[each]["val_loss"] for each in spellings])
    test = np.array([known[each]["test_accuracy"] for each in spellings])
    check_finite("validation losses", losses, low=0)
    check_finite("test accuracies", test, low=0, high=1)
    print(f"{len(test)} curves of {arguments.epochs} epochs, test deviation {test.std(ddof=1):.4f}")
    generator = np.random.default_rng(arguments.seed)
    orders = [
        generator.permutation(len(spellings))[: arguments.trials] for _ in range(arguments.orders)
    ]
    found = {
        name: np.array(
            [go_through(losses[order], compose_config("config", [*common, *each], RunConfig), n)
             for n, order in enumerate(orders)]
        )
        for name, each in PRUNERS.items()
    }  # fmt: skip
    best = np.array([test[order][losses[order, -1].argmin()] for order in orders])
    for name, each in found.items():
        chosen = np.array([test[o][int(c)] for o, c in zip(orders, each[:, 0], strict=True)])
        lost = 100 * (best - chosen)
        error = lost.std(ddof=1) / len(lost) ** 0.5
        print(
            f"{name}: {each[:, 1].mean() / (arguments.trials * arguments.epochs):.0%} of the "
            f"epochs; the same choice in {(lost == 0).mean():.0%} of {len(orders)} orders, "
            f"{lost.mean():+.3f} points of test accuracy lost (± {error:.3f})"
        )
        shares = each[:, 1] / (arguments.trials * arguments.epochs)
        check_finite(f"{name}: share of the epochs", shares, low=0, high=1)
        check(name != "none" or bool((lost == 0).all() and (shares == 1).all()), "no pruner pruned")


def train_curves(
    spellings: list[str], evaluator: TrainEvaluator, epochs: int, path: Path
) -> dict[str, dict[str, object]]:
    """Train each for `epochs`, an epoch a piece; append each curve when it is whole."""
    losses: dict[str, list[float]] = {each: [] for each in spellings}
    pending: dict[Future[Evaluation], Job] = {}

    def submit(spelling: str, until: int) -> None:
        checkpoint = path.parent / f"{spellings.index(spelling)}.pt"
        job = replace(
            make_job(spelling, epochs, 0), until=until, checkpoint=str(checkpoint),
            test=until == epochs,
        )  # fmt: skip
        pending[evaluator.evaluate(job)] = job

    for each in spellings:
        (path.parent / f"{spellings.index(each)}.pt").unlink(missing_ok=True)
        submit(each, 1)
    done: dict[str, dict[str, object]] = {}
    while pending:
        for future in wait(pending, return_when=FIRST_COMPLETED).done:
            job = pending.pop(future)
            metrics = future.result().metrics
            losses[job.arch].append(metrics["val_loss"])
            if job.until != epochs:
                submit(job.arch, len(losses[job.arch]) + 1)
                continue
            done[job.arch] = {
                "arch": job.arch,
                "val_loss": losses[job.arch],
                "test_accuracy": metrics["test_accuracy"],
            }
            with path.open("a") as file:
                file.write(json.dumps(done[job.arch]) + "\n")
    return done


def go_through(losses: NDArray[np.float64], config: RunConfig, number: int) -> tuple[int, int]:
    """The row that a search with the pruner of `config` chooses of these curves, and epochs."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    # Hyperband puts trials into brackets by the study's name.
    study = optuna.create_study(
        direction="maximize", pruner=build_pruner(config), study_name=f"order {number}"
    )
    spent, complete = 0, []
    for row, curve in enumerate(losses):
        trial = study.ask()
        for until in rungs(config):
            if until == len(curve):
                spent += until
                complete.append(row)
                study.tell(trial, -curve[-1])
                break
            trial.report(-curve[until - 1], until)
            if trial.should_prune():
                spent += until
                study.tell(trial, state=optuna.trial.TrialState.PRUNED)
                break
    return min(complete, key=lambda row: losses[row, -1]), spent


if __name__ == "__main__":
    main()
