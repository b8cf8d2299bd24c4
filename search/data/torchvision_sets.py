"""Data sets that torchvision knows: CIFAR, and the whole of Fashion-MNIST."""

import gzip
import math
import zlib
from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from blocks.arch import Size
from blocks.errors import one_line
from search.config.schema import DatasetConfig
from search.data.arrays import FASHION_CLASSES, from_arrays
from search.data.splits import Raw, root_of
from search.errors import DataError


def load_fashion_mnist_full(config: DatasetConfig, image_size: Size) -> Raw:
    """idx files in root, plain or gzipped, or torchvision's own layout under root."""
    from torchvision.datasets import FashionMNIST
    from torchvision.datasets.mnist import read_image_file, read_label_file

    root = root_of(config)
    if config.download:
        _torchvision(FashionMNIST, config, train=True)
    folder = root / "FashionMNIST" / "raw" if (root / "FashionMNIST" / "raw").is_dir() else root

    def read(name: str, reader: Callable[[str], Tensor]) -> NDArray[Any]:
        plain, packed = folder / name, folder / f"{name}.gz"
        path = plain if plain.exists() else packed
        try:
            if path == plain:
                return reader(str(plain)).numpy()
            # torchvision reads plain files only.
            import tempfile

            with tempfile.NamedTemporaryFile() as unpacked:
                with gzip.open(packed) as content:
                    unpacked.write(_as_long_as_it_says(content))
                unpacked.flush()
                return reader(unpacked.name).numpy()
        except (OSError, ValueError, EOFError, AssertionError, RuntimeError, zlib.error) as error:
            raise DataError(
                f"cannot read {path}: {one_line(error) or type(error).__name__}"
            ) from None

    parts = {
        part: (
            read(f"{prefix}-images-idx3-ubyte", read_image_file),
            read(f"{prefix}-labels-idx1-ubyte", read_label_file),
        )
        for part, prefix in (("train", "train"), ("test", "t10k"))
    }
    return from_arrays(FASHION_CLASSES, parts, str(folder))


def _as_long_as_it_says(content: gzip.GzipFile) -> bytes:
    """An idx file: its head, and the values of one byte that the head tells of.

    Raises:
        ValueError: there are more or fewer.
    """
    head = content.read(4)
    sides = head[3] if len(head) == 4 else 0
    head += content.read(4 * sides)
    size = math.prod(int.from_bytes(head[at : at + 4], "big") for at in range(4, len(head), 4))
    if size > MOST_IDX:
        raise ValueError(f"its head tells of {size:,} values")
    values = content.read(size + 1)
    if len(values) != size:
        raise ValueError(f"its head tells of {size:,} values, of which it has {len(values):,}")
    return head + values


MOST_IDX: Final = 2**30
"""Values of one file; MNIST's largest has 47 million."""


def load_cifar(config: DatasetConfig, image_size: Size) -> Raw:
    """CIFAR-10 or CIFAR-100, whichever the configuration names."""
    from torchvision.datasets import CIFAR10, CIFAR100

    kind = CIFAR10 if config.name == "cifar10" else CIFAR100
    parts = {}
    classes: tuple[str, ...] = ()
    for part in ("train", "test"):
        data = _torchvision(kind, config, train=part == "train")
        parts[part] = (np.asarray(data.data), np.asarray(data.targets))
        classes = tuple(data.classes)
    return from_arrays(classes, parts, str(root_of(config)))


def _torchvision(kind: Any, config: DatasetConfig, train: bool) -> Any:
    """A torchvision data set; it checks the files' published MD5 sums before unpickling."""
    try:
        return kind(str(root_of(config)), train=train, download=config.download)
    except (RuntimeError, OSError, ValueError) as error:
        raise DataError(
            f"cannot read dataset {config.name} in {root_of(config)}: "
            f"{one_line(error) or type(error).__name__} (dataset.download=true fetches it)"
        ) from None
