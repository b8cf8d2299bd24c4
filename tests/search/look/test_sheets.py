"""Contact sheets: what is drawn where."""

import io

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from search.config.schema import ProxyConfig
from search.look.augmented import augmented_sheet, usual_values
from search.look.sheets import Row, class_sheets, picture, sheet, spaced
from tests.search.look.conftest import Pixels, data_of

Fashion = tuple[Pixels, NDArray[np.int64]]


def test_images_are_evenly_spaced() -> None:
    assert spaced(3).tolist() == [0, 1, 2]
    assert spaced(100).tolist() == [0, 10, 20, 30, 40, 50, 60, 70, 80, 90]
    assert spaced(0).tolist() == []


def test_many_classes_have_several_pages() -> None:
    labels = list(range(31)) * 2
    images = np.zeros((62, 8, 8), np.uint8)
    data = data_of(images, images, images, [labels] * 3, classes=31)
    first, last = (Image.open(io.BytesIO(page)) for page in class_sheets(data))
    assert (first.height, last.height) == (30 * 52 + 4, 52 + 4)
    assert list(class_sheets(data)) == list(class_sheets(data))


@pytest.mark.parametrize(("channels", "colour"), [(1, (9, 9, 9)), (2, (9, 9, 9)), (5, (9, 8, 7))])
def test_any_channels_are_shown(channels: int, colour: tuple[int, ...]) -> None:
    image = torch.tensor([9, 8, 7, 6, 5], dtype=torch.uint8)[:channels, None, None].expand(-1, 4, 4)
    assert picture(image).getpixel((0, 0)) == colour
    page = Image.open(io.BytesIO(sheet([Row(("a row",), image[None])])))
    assert page.getpixel((190 + 24, 4 + 24)) == colour


def test_each_augmentation_has_a_row(fashion: Fashion) -> None:
    images, labels = fashion
    data = data_of(
        images[:40], images[40:60], images[60:80], [labels[:40], labels[40:60], labels[60:80]], 10
    )
    page = augmented_sheet(data, ProxyConfig(flip=False, cutout=14))
    drawn = np.asarray(Image.open(io.BytesIO(page)).convert("L"))[4:, 190:]
    rows = [drawn[52 * number : 52 * number + 48] for number in range(len(usual_values(28)) + 2)]
    assert len(drawn) == 52 * len(rows)
    plain, flipped, *others = rows
    assert all((row != plain).any() for row in others)
    mirrored = [
        (flipped[:, at : at + 48] != plain[:, at : at + 48]).any() for at in range(0, 520, 52)
    ]
    assert any(mirrored)
    assert not all(mirrored)
    for at, changed in zip(range(0, 520, 52), mirrored, strict=True):
        if changed:  # but for the rounding of resizing
            back = flipped[:, at : at + 48][:, ::-1].astype(int)
            assert abs(back - plain[:, at : at + 48]).max() <= 2
    assert page == augmented_sheet(data, ProxyConfig(flip=False, cutout=14))
