"""A folder of more images than one would hold in memory: its cache built, opened, trained from.

    python results/benchmarks/large_folder.py --images 100000 --resolution 64

The folder is that of `image_cache.py`: JPEGs of 500×375. Building its cache is compared with what
the decoder alone does on all cores, in the same run. Then the folder is opened again, unchanged;
and a process of its own prepares the images at the resolution and draws batches, from all of the
images and from a quarter of them: what memory is its own then (private and written to, as Linux
counts it)?
"""

import os
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import torch
from harness import check_finite, make_parser, parse, print_foot, spread
from image_cache import write_photographs

from blocks.arch import square
from blocks.threads import side_by_side
from search.config.schema import DatasetConfig
from search.data.augment import Augmentation
from search.data.batches import prepare
from search.data.datasets import load_data
from search.data.decode import decode_file

BATCHES = 50
"""That a worker draws."""


def private_megabytes(config: DatasetConfig, resolution: int) -> tuple[float, float]:
    """Of this process, before it opens the images, and after it trained on them for a while."""
    torch.set_num_threads(1)
    before = _private()
    data = load_data(config, resolution)
    batches = prepare(data, resolution)
    generator = torch.Generator().manual_seed(0)
    epoch = batches.shuffled(64, Augmentation(flip=True), data.num_classes, generator)
    for number, _ in enumerate(epoch):
        if number == BATCHES:
            break
    return before, _private()


def _private() -> float:
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_Dirty")) / 1024


def main() -> None:
    parser = make_parser(__doc__, seed=0)
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--resolution", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=5, help="of opening it")
    arguments = parse(parser, images=80, repeats=1, resolution=32)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "all"
        root.mkdir()
        paths = write_photographs(root, arguments.images, arguments.seed)
        for path in paths[::4]:
            quarter = Path(folder) / "quarter" / path.parent.name / path.name
            quarter.parent.mkdir(parents=True, exist_ok=True)
            os.link(path, quarter)
        measure(Path(folder), paths, arguments.resolution, arguments.repeats)
    print_foot(arguments)


def measure(folder: Path, paths: list[Path], resolution: int, repeats: int) -> None:
    """Print what was measured of the folders `all` and `quarter`."""
    started = time.perf_counter()
    decode = partial(decode_file, image_size=square(resolution).scaled(1.5))
    for _ in side_by_side(decode, paths):
        pass
    alone = time.perf_counter() - started

    def config(name: str) -> DatasetConfig:
        return DatasetConfig("imagefolder", str(folder / name), cache=str(folder / "cache"))

    started = time.perf_counter()
    load_data(config("all"), resolution)
    built = time.perf_counter() - started
    opened = []
    for _ in range(repeats + 1):
        time.sleep(2.5)  # files of this moment are not yet known by their times
        started = time.perf_counter()
        load_data(config("all"), resolution)
        opened.append(time.perf_counter() - started)
    check_finite("seconds", [alone, built, *opened], low=1e-6)
    print(f"decoding alone: {alone:.1f} s, {len(paths) / alone:.0f} images/s")
    print(f"building the cache: {built:.1f} s, {alone / built:.2f} of the decoder's rate")
    print(
        f"opening it again: first {opened[0]:.3f} s, then median {spread(opened[1:], 3, 0, 100)} s"
    )
    load_data(config("quarter"), resolution)
    for name in ("quarter", "all"):
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            before, after = pool.submit(private_megabytes, config(name), resolution).result()
        print(f"a worker's own memory, {name}: {before:.0f} MB, with images {after:.0f} MB")


if __name__ == "__main__":
    main()
