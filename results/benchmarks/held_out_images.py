"""The test images that benchmarks judge by, which no search has seen. No benchmark itself."""

from dataclasses import replace

from search.config.schema import DatasetConfig
from search.data.datasets import load_data
from search.data.splits import ImageData


def with_test_images(data: ImageData, root: str | None, resolution: int) -> ImageData:
    """`data` with all 10,000 test images of Fashion-MNIST, from the idx files in the folder `root`,
    instead of its own test split; as it is without a root."""
    if not root:
        return data
    whole = DatasetConfig(name="fashion_mnist_full", root=root)
    return replace(data, test=load_data(whole, resolution).test)
