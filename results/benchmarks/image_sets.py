"""Images that benchmarks train and judge on, as settings of a data set. No benchmark itself."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from search.data.face import load_data
from search.data.splits import ImageData


def images_of(dataset: dict[str, Any], resolution: int) -> ImageData:
    """The images that settings name."""
    settings = dict(dataset)
    return load_data(settings.pop("name"), resolution=resolution, **settings)


def all_test_images(root: str, folder: Path) -> Path:
    """An npz file in `folder` of the 6,000 embedded images to train and validate on, and all 10,000
    test images, of the idx files of Fashion-MNIST in `root`."""
    path = folder / "fashion_mnist_all_test.npz"
    shipped, full = load_data("fashion_mnist"), load_data("fashion_mnist_full", root=root)
    images = torch.cat([shipped.train.images, shipped.val.images])
    labels = torch.cat([shipped.train.labels, shipped.val.labels])
    np.savez(
        path,
        x_train=images[:, 0].numpy(),
        y_train=labels.numpy(),
        x_test=full.test.images[:, 0].numpy(),
        y_test=full.test.labels.numpy(),
    )
    return path
