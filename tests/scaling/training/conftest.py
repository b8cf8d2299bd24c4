"""Trainings of the real digits, of a second each."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from blocks.latency.device import torch_threads
from scaling.training.loop import Watcher
from scaling.training.result import Result
from scaling.training.run import train
from scaling.training.settings import make_train

NETWORK = "r8-i1-s16-[ir_r1_k3_s1_e4_c24_se0.25|ir_r1_k5_s2_e3_c16|ds_r1_k7_s2_e1_c32]-h64"
LARGER = "r10-i1-s24-[ir_r2_k5_s1_e6_c32_se0.5|ir_r1_k5_s2_e4_c24|ds_r2_k7_s2_e1_c40]-h96"

Train = Callable[..., Result]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Small networks are thousands of short loops, at whose ends threads wait for one another."""
    with torch_threads(1):
        yield


@pytest.fixture
def train_digits(tmp_path: Path, digits: Path) -> Train:
    """Train `NETWORK`, or another, on the digits; settings as keywords."""

    def run(watcher: Watcher | None = None, **settings: Any) -> Result:
        given = {
            "study": "digits",
            "results_dir": str(tmp_path / "results"),
            "dataset": {"name": "npz", "root": str(digits)},
            "network": NETWORK,
            "kernels": "torch",
            "precision": "fp32",
            "device": "cpu",
            **settings,
        }
        return train(make_train(given), watcher)

    return run


@pytest.fixture
def photos(digits: Path, tmp_path: Path) -> Path:
    """JPEGs of three classes in colour, a few of them grey, one not whole."""
    with np.load(digits) as arrays:
        pixels, labels = arrays["x_train"], arrays["y_train"]
    root = tmp_path / "photos"
    for label in range(3):
        (root / str(label)).mkdir(parents=True)
        for number, row in enumerate(np.flatnonzero(labels == label)[:60]):
            image = Image.fromarray(pixels[row]).resize((30 + number % 5, 28))
            image = image if number % 7 == 0 else Image.merge("RGB", [image] * 3)
            image.save(root / str(label) / f"{number:02}.jpg", quality=90)
    return root
