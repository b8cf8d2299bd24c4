"""Images that were put into two splits are found, and hardly any others."""

import io

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from search.look.duplicates import find_duplicates
from tests.search.look.conftest import Pixels, data_of

Fashion = tuple[Pixels, NDArray[np.int64]]


def again(image: Pixels, size: int = 28) -> Pixels:
    """The image as another person has it: smaller, as a JPEG, and as large as before."""
    file = io.BytesIO()
    Image.fromarray(image).resize((size, size)).save(file, "JPEG", quality=70)
    return np.asarray(Image.open(file).resize((28, 28)))


@pytest.fixture
def planted(fashion: Fashion) -> tuple[list[Pixels], list[NDArray[np.int64]]]:
    """100 training, 50 val and 50 test images; three of train in test, two in val, one of val in
    test, equal or recompressed."""
    images, labels = fashion
    parts = [images[:100].copy(), images[100:150].copy(), images[150:200].copy()]
    owns = [labels[:100].copy(), labels[100:150].copy(), labels[150:200].copy()]
    for to, row, source, of, change in (
        (2, 3, 0, 10, None), (2, 4, 0, 11, 28), (2, 5, 0, 12, 24),
        (1, 6, 0, 13, None), (1, 7, 0, 14, 28), (2, 8, 1, 30, 28),
    ):  # fmt: skip
        image = parts[source][of]
        parts[to][row] = image if change is None else again(image, change)
        owns[to][row] = owns[source][of]
    return parts, owns


def test_what_was_put_into_two_splits_is_found(
    planted: tuple[list[Pixels], list[NDArray[np.int64]]],
) -> None:
    parts, owns = planted
    found = find_duplicates(data_of(*parts, [own.tolist() for own in owns], classes=10))
    listed = {(t.kind, t.split, t.row, t.other_split, t.other_row) for t in found.twins}
    put = {
        ("equal", "test", 3, "train", 10),
        ("near", "test", 4, "train", 11),
        ("near", "test", 5, "train", 12),
        ("equal", "val", 6, "train", 13),
        ("near", "val", 7, "train", 14),
        ("near", "test", 8, "val", 30),
    }
    assert put <= listed
    assert len(listed - put) <= 1  # trousers are much alike
    assert (found.looked_at, found.conflicts) == (1.0, 0)
    assert found.count("near", "test") == 3
    similarities = [twin.similarity for twin in found.twins]
    assert similarities == sorted(similarities, reverse=True)


def test_equal_images_of_two_classes_are_counted(fashion: Fashion) -> None:
    images, _ = fashion
    train = images[[0, 0, 1, 2, 3, 4]]  # the first two equal, of other classes
    data = data_of(train, images[5:8], images[[0, 9]], [[0, 1, 0, 1, 0, 1], [0, 1, 0], [0, 1]])
    found = find_duplicates(data)
    assert found.conflicts == 3
    assert [(twin.kind, twin.row, twin.other_row) for twin in found.twins] == [("equal", 0, 0)]


def test_images_of_one_colour_are_near_none() -> None:
    train = np.arange(6, dtype=np.uint8)[:, None, None].repeat(8, 1).repeat(8, 2)
    data = data_of(train, train[:2] + 50, train[:2] + 90, [[0, 1] * 3, [0, 1], [0, 1]])
    assert find_duplicates(data).twins == ()


def test_of_too_many_pairs_some_images_are_looked_at(
    planted: tuple[list[Pixels], list[NDArray[np.int64]]],
) -> None:
    parts, owns = planted
    data = data_of(*parts, [own.tolist() for own in owns], classes=10)
    pairs = 50 * 100 + 50 * (100 + 50)
    some = find_duplicates(data, most_pairs=pairs // 2)
    assert some.looked_at == 0.5
    assert some == find_duplicates(data, most_pairs=pairs // 2)
    assert set(some.twins) <= set(find_duplicates(data).twins)
    assert [some.count("equal", part) for part in ("val", "test")] == [1, 1]  # always all
