"""Start-up of `dataset=imagefolder`: without cache, building it, and from it.

    python results/benchmarks/image_cache.py --images 2000 --repeats 5

The folder is generated: the photographs that foolbox ships, resized to 500×375, each copy with
another crop and brightness, as JPEG of quality 90. The three are timed in turns in one process,
files in the page cache, and must give the same images. Also: decoding in one thread, in as many as
there are cores, and in as many processes.
"""

import os
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from harness import check, check_finite, make_parser, parse, photographs, print_foot, spread
from PIL import ImageEnhance

from blocks.arch import square
from blocks.threads import side_by_side
from search.config.schema import DatasetConfig
from search.data.datasets import load_data
from search.data.decode import decode_file
from search.data.splits import ImageData

SIZE = (500, 375)


def write_photographs(root: Path, count: int, seed: int) -> list[Path]:
    draw = np.random.default_rng(seed)
    photos = photographs()
    paths = []
    for number in range(count):
        photo = photos[number % len(photos)]
        left, top = draw.integers(0, 20, 2)
        box = (left, top, photo.width - 20 + left, photo.height - 20 + top)
        changed = ImageEnhance.Brightness(photo.resize(SIZE, box=box)).enhance(
            draw.uniform(0.8, 1.2)
        )
        path = root / f"class{number % len(photos) % 10}" / f"{number:05}.jpg"
        path.parent.mkdir(exist_ok=True)
        changed.save(path, quality=90)
        paths.append(path)
    return paths


def same(one: ImageData, other: ImageData) -> bool:
    return one.sha256 == other.sha256 and all(
        torch.equal(getattr(one, part).images, getattr(other, part).images)
        for part in ("train", "val", "test")
    )


def report(name: str, seconds: list[float]) -> None:
    check_finite(name, seconds, low=1e-6)
    print(f"{name:>28}: median {spread(seconds, 3, 0, 100)} s, {len(seconds)} repeats")


def timed(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def main() -> None:
    parser = make_parser(__doc__, seed=0)
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--resolution", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parse(parser, images=40, repeats=1)
    torch.set_num_threads(1)
    size = square(arguments.resolution).scaled(1.5)
    cores = len(os.sched_getaffinity(0))
    seconds: dict[str, list[float]] = {}

    def time_of(name: str, work: Callable[[], object]) -> None:
        seconds.setdefault(name, []).append(timed(work))

    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "photographs"
        root.mkdir()
        paths = write_photographs(root, arguments.images, arguments.seed)
        megabytes = sum(path.stat().st_size for path in paths) / 1e6
        print(
            f"{len(paths)} JPEGs of {SIZE[0]}×{SIZE[1]}, {megabytes:.0f} MB, to {size} px, "
            f"{cores} core(s)"
        )
        time.sleep(2.5)  # files of this moment are not yet known by their times
        found: dict[str, ImageData] = {}

        decode = partial(decode_file, image_size=size)

        def one_by_one() -> None:
            list(map(decode, paths))

        def in_threads() -> None:
            list(side_by_side(decode, paths))

        def in_processes() -> None:
            with ProcessPoolExecutor(cores, mp_context=get_context("spawn")) as pool:
                list(pool.map(decode, paths, chunksize=32))

        def load(name: str, cache: Path | None) -> None:
            where = None if cache is None else str(cache)
            config = DatasetConfig("imagefolder", str(root), cache=where)
            found[name] = load_data(config, arguments.resolution)

        for repeat in range(arguments.repeats):
            cache = Path(folder) / f"cache{repeat}"
            time_of("without cache", partial(load, "plain", None))
            time_of("building it", partial(load, "built", cache))
            time_of("from it", partial(load, "cached", cache))
            check(same(found["plain"], found["built"]), "the images differ")
            check(same(found["plain"], found["cached"]), "the images of the cache differ")
            time_of("decoding, 1 thread", one_by_one)
            time_of(f"decoding, {cores} thread(s)", in_threads)
            time_of(f"decoding, {cores} process(es)", in_processes)
        stored = sum(path.stat().st_size for path in cache.rglob("*") if path.is_file()) / 1e6
        for name, spent in seconds.items():
            report(name, spent)
        print(f"the same images from each; the cache takes {stored:.1f} MB")
    print_foot(arguments)


if __name__ == "__main__":
    main()
