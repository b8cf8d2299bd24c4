"""Which metric of one proxy training tells the accuracy of a network: accuracy or loss?

    python results/benchmarks/steering_metric.py --target 200k --members 20 --seeds 2

Random members of `space=tiny` at an exact budget are trained by the proxy with several seeds. Of
one seed the validation metrics, of the others the mean test accuracy: their correlation over the
members, averaged over seeds; beside it the spread between members and between seeds. With
`--test-root` the test split is all 10,000 test images of Fashion-MNIST.
"""

from dataclasses import replace

import numpy as np
from harness import check_finite, deviations, make_parser, parse, print_foot
from opening import add_search_arguments, open_search

from search.evaluators.train import TrainEvaluator, make_job
from search.space.members import draw_members


def main() -> None:
    parser = make_parser(__doc__, seed=77)
    add_search_arguments(parser)
    parser.add_argument("--target", default="200k", help="macs of every member")
    parser.add_argument("--members", type=int, default=20)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=9)
    arguments = parse(parser, workers=1, images=500, members=3, epochs=1)
    overrides = ["space=tiny", f"budget.target={arguments.target}", "proxy.ema=0.98"]
    opened = open_search(overrides, arguments)
    spellings = draw_members(opened.members, arguments.members, arguments.seed)
    training, workers = opened.config.training, opened.config.workers
    with TrainEvaluator(opened.data, training, workers) as evaluator:
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
    check_finite("accuracies", [found["val_accuracy"], found["test_accuracy"]], 0.05, 1)
    check_finite("losses", found["val_loss"], low=0)
    for name, values in found.items():
        members, seeds = deviations(values)
        print(
            f"{name:14} mean {values.mean():.4f}, deviation between members {members:.4f}, "
            f"between seeds {seeds:.4f}"
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
    print_foot(arguments)


if __name__ == "__main__":
    main()
