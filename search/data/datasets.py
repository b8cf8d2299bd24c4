"""Data sets by name. Adding one is one line."""

from collections.abc import Callable
from functools import partial
from typing import Final

from blocks.arch import Size, size_from
from search.config.schema import DatasetConfig
from search.data.arrays import load_fashion_mnist, load_npz
from search.data.cache import cache_folder
from search.data.files import cached_files, load_files
from search.data.near import keep_together
from search.data.splits import FILES, ImageData, Raw, assemble
from search.data.torchvision_sets import load_cifar, load_fashion_mnist_full
from search.errors import DataError

DATASETS: Final[dict[str, Callable[[DatasetConfig, Size], Raw]]] = {
    "fashion_mnist": load_fashion_mnist,
    "fashion_mnist_full": load_fashion_mnist_full,
    "cifar10": load_cifar,
    "cifar100": load_cifar,
    "imagefolder": load_files,
    "table": load_files,
    "npz": load_npz,
}

OF_SEVERAL: Final[dict[str, Callable[[DatasetConfig, Size], Raw]]] = {
    "table": partial(load_files, several=True),
    "npz": partial(load_npz, several=True),
}
"""Those whose images may have several labels."""


def load_data(config: DatasetConfig, seen: Size | int, several: bool = False) -> ImageData:
    """Read the data set, carve the splits it lacks, and hash it; with `several` its images may
    have several labels or none. `seen`: what networks will see, in pixels.

    Raises:
        DataError: nothing there, unreadable, one class only, or a class too small to split.
    """
    image_size = decoded_size(config, size_from(seen))
    cache = cache_folder(config.cache) if config.name in FILES else None
    if several and config.name not in OF_SEVERAL:
        raise DataError(
            f"dataset={config.name} has one class for each image; task=multilabel expects "
            f"dataset={' or dataset='.join(OF_SEVERAL)}"
        )
    if cache is not None:
        return cached_files(config, image_size, cache, several)
    reader = (OF_SEVERAL if several else DATASETS)[config.name]
    return assemble(config, keep_together(config, reader(config, image_size)))


def decoded_size(config: DatasetConfig, seen: Size) -> Size:
    """What image files are decoded to: 1.5 times what networks see, so that a family's larger
    members have real pixels too, unless the settings say otherwise."""
    if config.image_size is not None:
        return size_from(config.image_size, "dataset.image_size")
    return seen.scaled(1.5) if config.enlarge else seen
