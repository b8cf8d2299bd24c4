"""Folders of real images, a few of the shipped ones, and data sets made of them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from blocks.embedded import __file__ as embedded
from search.data.splits import ImageData, Split

Pixels = NDArray[np.uint8]


@pytest.fixture(scope="session")
def fashion() -> tuple[Pixels, NDArray[np.int64]]:
    """Images (600, 28, 28) and their labels."""
    with np.load(Path(embedded).parent / "fashion_mnist_6000_2000.npz") as arrays:
        return arrays["x_train"][:600], arrays["y_train"][:600].astype(np.int64)


def data_of(
    train: Pixels, val: Pixels, test: Pixels, labels: Sequence[Sequence[int]], classes: int = 2
) -> ImageData:
    """A data set of images (N, H, W) or (N, H, W, C), with the labels of its splits."""
    splits = []
    for images, own in zip((train, val, test), labels, strict=True):
        pixels = torch.from_numpy(images if images.ndim == 4 else images[..., None])
        splits.append(Split(pixels.permute(0, 3, 1, 2), torch.tensor(list(own))))
    names = tuple(f"class{number}" for number in range(classes))
    return ImageData("npz", names, *splits, sha256=str(hash(train.tobytes())))


@pytest.fixture
def pets(tmp_path: Path, fashion: tuple[Pixels, NDArray[np.int64]]) -> Path:
    """60 boots and 15 bags as PNG and JPEG, one of them twice as a JPEG, and two damaged files."""
    images, labels = fashion
    root = tmp_path / "pets"
    for name, label, count in (("bag", 8, 15), ("boot", 9, 60)):
        (root / name).mkdir(parents=True)
        for number, image in enumerate(images[labels == label][:count]):
            suffix = ("png", "jpg")[number % 2]
            Image.fromarray(image).save(root / name / f"{number:02}.{suffix}")
    cut = (root / "boot" / "00.png").read_bytes()[:200]
    (root / "boot" / "cut.png").write_bytes(cut)
    (root / "bag" / "words.jpg").write_text("no image")
    return root
