"""Sizes and modes by headers."""

from pathlib import Path

import numpy as np
from PIL import Image

from blocks.arch import square
from search.look.sizes import array_sizes, file_sizes
from tests.search.look.conftest import data_of


def test_files_are_measured_upright(tmp_path: Path) -> None:
    paths = []
    for number, (mode, size) in enumerate([("L", (10, 20)), ("RGB", (30, 30)), ("RGB", (40, 50))]):
        image = Image.new(mode, size)
        exif = Image.Exif()
        if number == 2:
            exif[0x0112] = 6  # lies on its side
        paths.append(tmp_path / f"{number}.jpg")
        image.save(paths[-1], exif=exif)
    (tmp_path / "no.png").write_text("no image")
    found = file_sizes([*paths, tmp_path / "no.png"])
    assert found is not None
    assert (found.smallest, found.median, found.largest) == ((10, 20), (30, 30), (50, 40))
    assert found.aspects == (0.5, 1.0, 1.25)
    assert found.modes == {"RGB": 2, "L": 1}
    assert found.smaller_than(square(30)) == 1 / 3
    assert file_sizes([tmp_path / "no.png"]) is None


def test_arrays_are_all_of_one_size() -> None:
    images = np.zeros((3, 4, 6, 5), np.uint8)
    found = array_sizes(data_of(images, images, images, [[0, 1, 0]] * 3))
    assert found is not None
    assert (found.smallest, found.largest) == ((6, 4), (6, 4))
    assert found.modes == {"of 5 channels": 9}
