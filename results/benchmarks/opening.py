"""What the benchmarks share of a search: its opening, its records. No benchmark itself."""

import argparse
import sys
from collections.abc import Iterable
from dataclasses import replace

from search.config.compose import compose_config
from search.config.schema import DatasetConfig, RunConfig
from search.config.settled import SettledConfig
from search.data.datasets import load_data
from search.data.splits import ImageData, Split
from search.record.trials import Record, TrialRecord
from search.study.settle import Settled, settle


def trained(records: Iterable[Record]) -> list[TrialRecord]:
    """The records, if none is a failure; else the script ends with the first failure's error."""
    found = []
    for record in records:
        if not isinstance(record, TrialRecord):
            sys.exit(f"error: {record.arch} failed ({record.kind}): {record.error}")
        found.append(record)
    return found


def add_search_arguments(parser: argparse.ArgumentParser) -> None:
    """`--test-root`, `--images` and `--workers`, of `open_search`."""
    parser.add_argument("--test-root", help="folder of the idx files of Fashion-MNIST")
    parser.add_argument("--images", type=int, help="to train on; without it, all")
    parser.add_argument("--workers", type=int, default=0, help="trainings at once; 0: as planned")


def open_search(settings: Iterable[str], arguments: argparse.Namespace) -> Settled:
    """What `python -m search run SETTINGS` begins with; see `with_test_images`, `first_images`."""
    given = [f"workers.count={arguments.workers}", *settings]
    opened = settle(compose_config("config", given, RunConfig))
    resolution = opened.config.proxy.resolution
    data = with_test_images(opened.data, arguments.test_root, resolution)
    return replace(opened, data=first_images(data, arguments.images))


def first_images(data: ImageData, number: int | None) -> ImageData:
    """`data` with no more than so many training images; None: with all."""
    train = Split(data.train.images[:number], data.train.labels[:number])
    return data if number is None else replace(data, train=train)


def settled_as(opened: Settled, config: RunConfig) -> SettledConfig:
    """`config` with what `opened` decided: workers, device, precision, and epochs left open."""
    workers, proxy = opened.config.workers, opened.config.proxy
    if config.proxy.epochs is None:
        config = replace(config, proxy=replace(config.proxy, epochs=proxy.epochs))
    return SettledConfig.of(config, workers.count, workers.device, proxy.precision)


def with_test_images(data: ImageData, root: str | None, resolution: int) -> ImageData:
    """`data` with all 10,000 test images of Fashion-MNIST, from the idx files in the folder `root`,
    instead of its own test split; as it is without a root. No search has seen these images."""
    if not root:
        return data
    whole = DatasetConfig(name="fashion_mnist_full", root=root)
    return replace(data, test=load_data(whole, resolution).test)
