"""Data sets by name. Adding one is one line."""

from collections.abc import Callable
from typing import Final

from search.config.schema import DatasetConfig
from search.data.arrays import load_fashion_mnist, load_npz
from search.data.cache import cache_folder
from search.data.files import cached_files, load_files
from search.data.near import keep_together
from search.data.splits import ImageData, Raw, assemble
from search.data.torchvision_sets import load_cifar, load_fashion_mnist_full

DATASETS: Final[dict[str, Callable[[DatasetConfig, int], Raw]]] = {
    "fashion_mnist": load_fashion_mnist,
    "fashion_mnist_full": load_fashion_mnist_full,
    "cifar10": load_cifar,
    "cifar100": load_cifar,
    "imagefolder": load_files,
    "table": load_files,
    "npz": load_npz,
}


def load_data(config: DatasetConfig, proxy_resolution: int) -> ImageData:
    """Read the data set, carve the splits it lacks, and hash it.

    Raises:
        DataError: nothing there, unreadable, one class only, or a class too small to split.
    """
    image_size = config.image_size or round(1.5 * proxy_resolution)
    reader = DATASETS[config.name]
    cache = cache_folder(config.cache) if reader is load_files else None
    if cache is not None:
        return cached_files(config, image_size, cache)
    return assemble(config, keep_together(config, reader(config, image_size)))
