"""Images per second of training batches: streamed from JPEGs, beside the cache.

    python results/benchmarks/streaming.py --images 2000 --repeats 5

The folder is that of `image_cache.py`. An epoch of batches by `recipe=small` (whole batches) and by
`recipe=timm` (one by one), nothing trained: from the decoded images, and with every file decoded
anew, in this process and by as many loading processes as there are cores. In turns, `--repeats`
times, files in the page cache. The batches of all must be the same. Also what comes once, before
the first epoch: the cache is built, or all files are read to be hashed and summed up.
"""

import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from harness import check, check_finite, make_parser, parse, print_foot, spread
from image_cache import write_photographs

from blocks.arch import square
from scaling.training.config import recipe_named
from scaling.training.feed import Feed
from search.config.schema import DatasetConfig
from search.data.batches import prepare
from search.data.datasets import load_data
from search.data.splits import ImageData
from search.data.streamed import stream_files

BATCH = 64


def main() -> None:
    parser = make_parser(__doc__, seed=0)
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--resolution", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parse(parser, images=120, repeats=1)
    torch.set_num_threads(1)
    size = square(arguments.resolution)
    cores = len(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "photographs"
        root.mkdir()
        write_photographs(root, arguments.images, arguments.seed)
        config = DatasetConfig("imagefolder", str(root), cache=str(Path(folder) / "cache"))
        started = time.perf_counter()
        cached = load_data(config, size)
        built = time.perf_counter()
        streamed = stream_files(config, size.scaled(1.5), size, Path(folder) / "index", "")
        read = time.perf_counter()
        check(cached.sha256 == streamed.sha256, "the data sets differ")
        print(f"{arguments.images} JPEGs to {size} px; once: the cache is built in "
              f"{built - started:.2f} s, all files are read in {read - built:.2f} s")  # fmt: skip
        ways: dict[str, tuple[ImageData, int]] = {
            "from the cache": (cached, 0),
            "streamed, this process": (streamed, 0),
            f"streamed, {cores} processes": (streamed, cores),
        }
        for recipe in ("small", "timm"):
            feeds = {
                name: feed_of(data, recipe, loaders, arguments.resolution)
                for name, (data, loaders) in ways.items()
            }
            check_same(list(feeds.values()))
            rates: dict[str, list[float]] = {name: [] for name in feeds}
            for repeat in range(arguments.repeats):
                for name, feed in feeds.items():
                    seconds = timed(partial(whole_epoch, feed, repeat))
                    rates[name].append(feed.steps * feed.batch_size / seconds)
            for name, found in rates.items():
                check_finite(name, found, low=1e-6)
                print(f"{recipe:>6}, {name:<24} {spread(found, 0, 0, 100)} images/s")
    print_foot(arguments)


def feed_of(data: ImageData, recipe: str, loaders: int, resolution: int) -> Feed:
    """What a training by this recipe is fed by."""
    chosen = replace(recipe_named(recipe), batch_size=BATCH, flip=True)
    return Feed(
        prepare(data, resolution), data, chosen, square(resolution), seed=0, loaders=loaders
    )


def check_same(feeds: list[Feed]) -> None:
    """The first batches of all are the same, to the bit."""
    batches = [next(feed.epoch(0)) for feed in feeds]
    for images, labels in batches[1:]:
        check(torch.equal(images, batches[0][0]), "the images of a batch differ")
        check(torch.equal(labels, batches[0][1]), "the labels of a batch differ")


def whole_epoch(feed: Feed, epoch: int) -> int:
    return sum(len(images) for images, _ in feed.epoch(epoch))


def timed(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
