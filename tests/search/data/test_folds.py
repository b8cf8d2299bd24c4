"""Images in folds: each is held out once, groups are whole, classes are in equal shares."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from scaling.trainings import part_of
from search.config.schema import DatasetConfig
from search.data.batches import prepare, prepare_folds
from search.data.datasets import load_data
from search.data.folds import advise, deal
from search.data.splits import ImageData, labels_by_fold
from search.errors import DataError
from tests.search.config.test_checks import config_of


def unit(number: int) -> bytes:
    return number.to_bytes(32, "big")


def test_units_are_dealt_where_their_classes_are_rarest() -> None:
    """A group of three of class 0, then single images: of class 0 those go to the other fold."""
    units = [unit(9)] * 3 + [unit(number) for number in (1, 2, 3, 4, 5)]
    labels = np.array([0, 0, 0, 0, 0, 0, 1, 1])
    found = deal(units, labels, 2, ("a", "b"), "here")
    assert found.tolist() == [0, 0, 0, 1, 1, 1, 0, 1]
    # Of several classes an image counts for each.
    marks = np.eye(2, dtype=np.int64)[labels]
    assert deal(units, marks, 2, ("a", "b"), "here").tolist() == found.tolist()


@settings(max_examples=20, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 2)), min_size=60), st.integers(2, 4))
def test_no_unit_is_parted_and_the_order_does_not_matter(
    images: list[tuple[int, int]], folds: int
) -> None:
    # A unit is of one class, its number modulo 3; some images more, so that each class has enough.
    images = [(number, number % 3) for number, _ in images] + [(n, n % 3) for n in range(41)]
    units, labels = [unit(number) for number, _ in images], np.array([c for _, c in images])
    found = deal(units, labels, folds, ("a", "b", "c"), "here")
    assert len(set(zip(units, found.tolist(), strict=True))) == len(set(units))
    turned = deal(units[::-1], labels[::-1], folds, ("a", "b", "c"), "here")
    assert (turned[::-1] == found).all()
    largest = max(Counter(units).values())
    for label in range(3):
        counts = np.bincount(found[labels == label], minlength=folds)
        assert counts.max() - counts.min() <= largest


def test_what_cannot_be_divided_names_the_class_and_its_counts() -> None:
    labels = np.array([0, 0, 0, 1, 1, 1, 1])
    units = [unit(number) for number in (1, 2, 3, 4, 4, 5, 6)]
    with pytest.raises(DataError, match=r"class 'b' of here has 4 images of 3 groups to"):
        deal(units[3:], labels[3:] - 1, 4, ("b",), "here")
    with pytest.raises(DataError, match=r"class 'a' of here has 3 images to divide into "
                       r"dataset\.folds=4; expected 4 or more"):  # fmt: skip
        deal(units, labels, 4, ("a", "b"), "here")
    # Both groups with an image of b go where the larger rest of them is rarer.
    units = [unit(1)] * 9 + [unit(2)] * 9 + [unit(3)] * 8 + [unit(4)] * 2
    mixed = np.array([2] * 9 + [0] * 8 + [1] + [2] * 7 + [1] + [0] * 2)
    with pytest.raises(DataError, match=r"of which fold 1 of dataset\.folds=2 would have none"):
        deal(units, mixed, 2, ("a", "b", "c"), "here")


def few(digits: Path, tmp_path: Path, **more: np.ndarray) -> Path:
    """120 digits of three classes, one of them twice."""
    with np.load(digits) as arrays:
        chosen = np.flatnonzero(arrays["y_train"] < 3)[:120]
        images, labels = arrays["x_train"][chosen], arrays["y_train"][chosen]
    path = tmp_path / "few.npz"
    images[7], labels[7] = images[3], labels[3]
    np.savez(path, x_train=images, y_train=labels, **more)  # type: ignore[arg-type]
    return path


def pixels(images: torch.Tensor) -> Counter[bytes]:
    return Counter(image.contiguous().numpy().tobytes() for image in images)


def test_every_image_is_held_out_once(digits: Path, tmp_path: Path) -> None:
    path = few(digits, tmp_path)
    data = load_data(DatasetConfig(root=str(path), folds=5), 8)
    plain = load_data(DatasetConfig(root=str(path)), 8)
    # What is test does not depend on folds.
    assert torch.equal(data.test.images, plain.test.images)
    assert data.judging == len(data.train) + len(data.val) == len(plain.train) + len(plain.val)
    assert plain.judging == len(plain.val)
    folds = prepare_folds(data, 8)
    assert len(folds) == 5
    everything = pixels(data.train.images) + pixels(data.val.images)
    held = Counter[bytes]()
    for batches, labels in zip(folds, labels_by_fold(data), strict=True):
        val = pixels(batches.val.images)
        held += val
        assert pixels(batches.train.images) + val == everything
        assert not val.keys() & pixels(batches.train.images).keys()  # nor an equal image
        assert torch.equal(batches.val.labels, labels)
        assert len(set(labels.tolist())) == 3
        # All are views of the same memory.
        assert batches.train.images.untyped_storage().data_ptr() == (
            folds[0].val.images.untyped_storage().data_ptr()
        )
        mean = batches.train.images.double().mean()
        assert batches.mean.item() == pytest.approx(mean.item(), rel=1e-5)
        counts = torch.bincount(labels)
        assert counts.max() - counts.min() <= 3
    assert held == everything
    # The first is what everything else takes for train and val.
    first = prepare(data, 8)
    assert torch.equal(first.val.images, folds[0].val.images)
    assert pixels(first.train.images) == pixels(folds[0].train.images)
    assert torch.equal(first.mean, folds[0].mean)
    # At another resolution, and of a part of train, they are not confused.
    assert prepare_folds(data, 4)[1].val.images.shape[2:] == (4, 4)
    part = part_of(data, 0.5, 0)
    assert part.folds is None
    assert len(prepare_folds(part, 8)) == 1


def test_folds_are_of_the_images_and_their_number(digits: Path, tmp_path: Path) -> None:
    path = str(few(digits, tmp_path))

    def loaded(**settings: int) -> ImageData:
        return load_data(DatasetConfig(root=path, **settings), 8)  # type: ignore[arg-type]

    assert len({loaded(folds=3).sha256, loaded(folds=5).sha256, loaded().sha256}) == 3
    assert loaded(folds=3).sha256 == loaded(folds=3).sha256
    assert loaded(folds=3).notes[0].startswith("3 folds of ")
    with np.load(digits) as arrays:
        own = {"x_val": arrays["x_train"][:9], "y_val": arrays["y_train"][:9] % 3}
    path = str(few(digits, tmp_path, **own))
    with pytest.raises(DataError, match=r"dataset\.folds=3 would divide .* has a val split of its"):
        loaded(folds=3)


def test_folds_are_advised_where_few_images_judge() -> None:
    [said] = advise(config_of(), 328, 82)
    assert said == (
        "only 82 val images: dataset.folds=5 lets all 410 of train and val judge in the final round"
    )
    assert advise(config_of(), 4000, 900) == []
    assert advise(config_of("dataset.folds=5"), 328, 82) == []
    assert advise(config_of("search.finalists=1"), 328, 82) == []
