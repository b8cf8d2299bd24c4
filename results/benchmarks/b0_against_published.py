"""A B0 that was searched against published shapes, all trained alike, paired by seed.

    python results/benchmarks/b0_against_published.py --study results/main --test-root FOLDER

The published networks are cut to the images and solved to B0's macs, as `rivals=` of `python -m
scaling train` does; all are trained by `recipe=small` with the same seeds, on the embedded images
(with `--test-root`, the folder of Fashion-MNIST's idx files, all 10,000 test images judge), or on a
folder of classes with `--root`. `--network` is a spelling in place of a study's B0. Then the
difference of the test accuracies with its interval over the seeds (Student's t).
"""

import argparse
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
from harness import (
    check_finite,
    make_parser,
    mean_interval,
    parse,
    print_foot,
    results_folder,
)
from image_sets import all_test_images, images_of

from blocks.arch import format_arch, parse_arch
from scaling.training.rivals import rival_of
from scaling.training.run import train
from scaling.training.settings import make_train
from scaling.training.targets import Target
from search import Study

TINY = "r28-i1-s16-[ir_r1_k3_s1_e3_c16|ir_r1_k3_s2_e4_c24]-h48"
RIVALS = ["efficientnet_b0", "mobilenetv2_100", "mobilenetv3_small"]


def main() -> None:
    parser = make_parser(__doc__)
    parser.add_argument("--study", type=Path, help="folder of the study that found the B0")
    parser.add_argument("--network", help="a spelling in place of a study's B0")
    parser.add_argument("--rivals", nargs="+", default=RIVALS)
    parser.add_argument("--root", help="a folder of classes in place of the embedded images")
    parser.add_argument("--test-root", help="folder of the idx files of Fashion-MNIST")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, help="the recipe's, where nothing is said")
    parser.add_argument("--workers", type=int, default=2, help="trainings at once")
    parser.add_argument("--folder", type=Path, default=Path("results/b0_against_published"))
    arguments = parse(
        parser, network=TINY, rivals=["mobilenetv2_100"], seeds=2, epochs=1, workers=1
    )
    if arguments.network is None:
        if arguments.study is None:
            parser.error("--study=FOLDER or --network=SPELLING is needed")
        arguments.network = format_arch(Study.load(arguments.study).baseline.arch)
    with (
        results_folder(arguments.folder, arguments.quick) as folder,
        ProcessPoolExecutor(arguments.workers, get_context("spawn")) as pool,
    ):
        dataset = dataset_of(arguments, folder)
        networks = spelled(arguments, dataset)
        one = partial(
            by_seed, networks=networks, arguments=arguments, dataset=dataset, folder=folder
        )
        reached = list(pool.map(one, range(arguments.seeds)))
    names = list(networks)
    for place, name in enumerate(names):
        values = [100 * each[place][0] for each in reached]
        check_finite(f"accuracy, {name}", values, low=0, high=100)
        macs, parameters = reached[0][place][1:]
        low, high = mean_interval(values)
        print(
            f"{name:>24}: {sum(values) / len(values):.2f}% ({low:.2f} to {high:.2f}), "
            f"{macs:,} macs, {parameters:,} parameters; {[round(value, 2) for value in values]}"
        )
    for place, name in list(enumerate(names))[1:]:
        apart = [100 * (each[0][0] - each[place][0]) for each in reached]
        low, high = mean_interval(apart)
        print(
            f"b0 less {name}: {sum(apart) / len(apart):+.2f} points ({low:+.2f} to {high:+.2f}, "
            f"{len(apart)} seeds)"
        )
    print_foot(arguments)


def dataset_of(arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """The images, as settings."""
    if arguments.root is not None:
        return {"name": "imagefolder", "root": arguments.root}
    if arguments.test_root is None:
        return {"name": "fashion_mnist"}
    return {"name": "npz", "root": str(all_test_images(arguments.test_root, folder))}


def spelled(arguments: argparse.Namespace, dataset: dict[str, Any]) -> dict[str, str]:
    """B0 and its rivals, by name; said once."""
    arch = parse_arch(arguments.network)
    data = images_of(dataset, arch.resolution)
    own = Target("b0", arch)
    found = {"b0": arguments.network}
    for name in arguments.rivals:
        rival = rival_of(own, name, data)
        found[name] = format_arch(rival.arch)
        print(rival.made)
    for name, spelling in found.items():
        print(f"{name}: {spelling}", flush=True)
    return found


def by_seed(
    seed: int,
    networks: dict[str, str],
    arguments: argparse.Namespace,
    dataset: dict[str, Any],
    folder: Path,
) -> list[tuple[float, int, int]]:
    """Of each network: accuracy on the test images, macs, parameters."""
    torch.set_num_threads(1)
    recipe: dict[str, Any] = {"name": "small"}
    if arguments.epochs is not None:
        recipe["epochs"] = arguments.epochs
    found = []
    for name, network in networks.items():
        asked = {
            "study": f"seed{seed}", "results_dir": str(folder), "dataset": dataset, "seed": seed,
            "network": network, "name": name, "recipe": recipe, "threads": 1,
        }  # fmt: skip
        [trained] = train(make_train(asked)).trained
        cost = trained.content["cost"]
        found.append((trained.test["accuracy"]["value"], cost["macs"], cost["params"]))
        print(f"seed {seed}, {name}: {found[-1][0]:.4f}", flush=True)
    return found


if __name__ == "__main__":
    main()
