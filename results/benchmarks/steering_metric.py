"""Which metric of one proxy training tells the accuracy of a network: accuracy or loss?

    python results/benchmarks/steering_metric.py --target 200k --members 20 --seeds 2

Random members of `space=tiny` at an exact budget are trained by the proxy with several seeds. Of
one seed the validation metrics, of the others the mean test accuracy: their correlation over the
members, averaged over seeds; beside it the spread between members and between seeds. With
`--test-root` the test split is all 10,000 test images of Fashion-MNIST.
"""

import argparse
from dataclasses import replace

import numpy as np
from held_out_images import with_test_images

from blocks.machine import machine, versions
from search.config.compose import compose_config
from search.config.schema import RunConfig
from search.data.datasets import load_data
from search.evaluators.train import TrainEvaluator, make_job
from search.evaluators.workers import plan_workers
from search.space.choices import build_space
from search.space.members import SpaceCandidates, draw_members


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--target", default="200k", help="macs of every member")
    parser.add_argument("--members", type=int, default=20)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=9)
    parser.add_argument("--test-root", help="folder of the idx files of Fashion-MNIST")
    parser.add_argument("--seed", type=int, default=77)
    arguments = parser.parse_args()
    overrides = [f"budget.target={arguments.target}", "proxy.ema=0.98"]
    config = compose_config("config", overrides, RunConfig)
    resolution = config.proxy.resolution
    data = load_data(config.dataset, resolution)
    data = with_test_images(data, arguments.test_root, resolution)
    budget = config.cost_budget
    space = build_space(config.space, resolution, data.in_channels, data.num_classes, budget)
    config = plan_workers(config, space, data)
    candidates = SpaceCandidates(space, budget, data.num_classes)
    spellings = draw_members(candidates, arguments.members, arguments.seed)
    with TrainEvaluator(data, config.training, config.workers) as evaluator:
        futures = [
            [
                evaluator.evaluate(
                    replace(make_job(spelling, arguments.epochs, 3, seed), test=True)
                )
                for seed in range(arguments.seeds)
            ]
            for spelling in spellings
        ]
        metrics = [[future.result().metrics for future in row] for row in futures]
    found = {
        name: np.array([[each[name] for each in row] for row in metrics])
        for name in ("val_accuracy", "val_loss", "test_accuracy")
    }
    for name, values in found.items():
        noise = values.var(1, ddof=1).mean()
        between = max(0.0, values.mean(1).var(ddof=1) - noise / arguments.seeds)
        print(
            f"{name:14} mean {values.mean():.4f}, deviation between members {between**0.5:.4f}, "
            f"between seeds {noise**0.5:.4f}"
        )
    test = found["test_accuracy"]
    for name, sign in (("val_accuracy", 1), ("val_loss", -1)):
        correlations = [
            np.corrcoef(sign * found[name][:, seed], np.delete(test, seed, 1).mean(1))[0, 1]
            for seed in range(arguments.seeds)
        ]
        print(
            f"{name} of one seed with the test accuracy of the others: {np.mean(correlations):.2f}"
        )
    print(f"{vars(arguments)}, {machine()}, {versions()}")


if __name__ == "__main__":
    main()
