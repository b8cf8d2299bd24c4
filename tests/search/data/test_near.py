"""Near duplicates are one group: on one side of each split, and not in train beside own val."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from search.config.face import config_from
from search.config.schema import DatasetConfig
from search.data.datasets import load_data
from search.data.near import LEFT_OUT, near_sets, signatures, stands_out
from search.data.splits import ImageData
from search.errors import DataError
from search.look.source import row_names

GROUP = {"near_duplicates": "group"}


def test_what_stands_out_is_near() -> None:
    nearest = torch.tensor(
        [[0.996, 0.995, 0.994], [0.97, 0.9, 0.8], [0.97, 0.96, 0.86], [0.95, 0.1, 0.1]]
    )
    assert stands_out(nearest).tolist() == [True, True, False, False]
    assert stands_out(nearest[:, :2]).tolist() == [True, False, False, False]  # too few to say


def test_sets_are_those_of_pairs_and_their_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three in a chain, each beside the next; two equal ones; two alone; two of one colour."""
    angles = np.array([0.0, 0.09, 0.18, 1.2, 1.2, 1.9, 2.6])
    copies = torch.zeros(9, 256)
    copies[:7, 0], copies[:7, 1] = (torch.from_numpy(f(angles)) for f in (np.cos, np.sin))
    expected = [0, 0, 0, 3, 3, 5, 6, 7, 8]
    assert near_sets(copies).tolist() == expected
    monkeypatch.setattr("search.data.near._BLOCK", 4)  # two by two
    assert near_sets(copies).tolist() == expected
    assert near_sets(copies[:1]).tolist() == [0]


def test_signatures_correlate(fashion: np.ndarray) -> None:
    found = signatures(torch.from_numpy(fashion[:5, None]))
    assert torch.allclose((found @ found.T).diag(), torch.ones(5), atol=1e-5)
    assert (signatures(torch.full((1, 3, 20, 20), 7, dtype=torch.uint8)) == 0).all()


@pytest.fixture
def fashion() -> np.ndarray:
    data = load_data(DatasetConfig(name="fashion_mnist"), 28)
    return data.train.images[:200, 0].numpy()


@pytest.fixture
def pets(tmp_path: Path, fashion: np.ndarray) -> Path:
    """80 images of two classes by the parity of their number; the first 20 enlarged once more."""
    root = tmp_path / "pets"
    for name in ("even", "odd"):
        (root / name).mkdir(parents=True)
    for number, image in enumerate(fashion[:80]):
        folder = root / ("even", "odd")[number % 2]
        Image.fromarray(image).save(folder / f"{number:02}.png")
        if number < 20:
            Image.fromarray(image).resize((60, 60)).save(folder / f"{number:02}_again.png")
    return root


def load(root: Path, tmp_path: Path, **settings: object) -> ImageData:
    config = DatasetConfig(
        name="imagefolder", root=str(root), val_fraction=0.3, test_fraction=0.3,
        cache=str(tmp_path / "cache"),
    )  # fmt: skip
    return load_data(replace(config, **settings), 28)  # type: ignore[arg-type]


def sides(data: ImageData, root: Path, tmp_path: Path, **settings: object) -> dict[str, set[str]]:
    """The numbers of the images in each split."""
    config = config_from(
        dataset={"name": "imagefolder", "root": str(root), "cache": str(tmp_path / "cache"),
                 "val_fraction": 0.3, "test_fraction": 0.3, **settings},
    )  # fmt: skip
    return {
        part: {Path(name).name[:2] for name in names}
        for part, names in row_names(config, data).items()
    }


def parted(found: dict[str, set[str]]) -> int:
    whole = set.union(*found.values())
    return sum(map(len, found.values())) - len(whole)


def test_near_duplicates_are_on_one_side(pets: Path, tmp_path: Path) -> None:
    apart = load(pets, tmp_path)
    assert parted(sides(apart, pets, tmp_path)) > 5
    data = load(pets, tmp_path, **GROUP)
    found = sides(data, pets, tmp_path, **GROUP)
    assert parted(found) == 0
    assert len(set.union(*found.values())) == 80
    assert data.passed == ()
    assert "images are nearly the same as others" in data.notes[0]
    # From the cache, without one, and in folds it is the same.
    assert load(pets, tmp_path, **GROUP).sha256 == data.sha256 != apart.sha256
    assert load(pets, tmp_path, **GROUP, cache=None).sha256 == data.sha256
    assert load(pets, tmp_path).sha256 == apart.sha256
    folds = load(pets, tmp_path, **GROUP, folds=3)
    assert folds.folds is not None
    names = row_names(
        config_from(dataset={"name": "imagefolder", "root": str(pets), **GROUP, "folds": 3}), folds
    )["train"]
    held = {(Path(n).name[:2], fold) for n, fold in zip(names, folds.folds.tolist(), strict=True)}
    assert len(held) == len({number for number, _ in held})


def test_groups_that_share_a_near_duplicate_are_one(pets: Path, tmp_path: Path) -> None:
    """Groups by the first digit, and of the enlarged images by the last."""
    settings = {**GROUP, "group": r"^\d(?=\d\.)|\d_again"}
    data = load(pets, tmp_path, **settings)
    found = sides(data, pets, tmp_path, **settings)
    assert parted(found) == 0
    # 00 to 19 hang together by 0_again … 9_again.
    low = {f"{number:02}" for number in range(20)}
    assert [side for side in found.values() if side & low] == [
        side for side in found.values() if side >= low
    ]


def test_images_of_train_near_own_test_images_are_left_out(pets: Path, tmp_path: Path) -> None:
    for name in ("even", "odd"):
        (pets / "test" / name).mkdir(parents=True)
        (pets / "train" / name).mkdir(parents=True)
        for path in (pets / name).iterdir():
            part = "test" if path.stem in ("00_again", "01_again", "02_again") else "train"
            path.rename(pets / part / name / path.name)
        (pets / name).rmdir()
    data = load(pets, tmp_path, **GROUP)
    assert {each.path.name for each in data.passed} == {"00.png", "01.png", "02.png"}
    assert {each.reason for each in data.passed} == {LEFT_OUT}
    assert any(note.startswith("3 images of train are left out") for note in data.notes)
    found = sides(data, pets, tmp_path, **GROUP)
    assert found["test"] == {"00", "01", "02"}
    assert parted(found) == 0
    assert len(data.train) + len(data.val) == 94
    # As the cache has it, and without one.
    assert load(pets, tmp_path, **GROUP).passed == data.passed
    assert load(pets, tmp_path, **GROUP, cache=None).passed == data.passed
    # Where nothing is left of a class.
    for path in (pets / "train" / "odd").iterdir():
        if path.stem != "01":
            path.unlink()
    with pytest.raises(DataError, match=r"class 'odd' of .* has no image left to train on: all 1"):
        load(pets, tmp_path, **GROUP)


def test_arrays_too(fashion: np.ndarray, tmp_path: Path) -> None:
    again = np.minimum(fashion[:10].astype(int) + 1, 255).astype(np.uint8)
    path = tmp_path / "arrays.npz"
    labels = np.arange(200) % 2
    np.savez(path, x_train=fashion[:150], y_train=labels[:150],
             x_test=np.concatenate([again, fashion[150:]]), y_test=labels[:60])  # fmt: skip
    data = load_data(DatasetConfig(root=str(path), **GROUP), 28)
    assert len(data.train) + len(data.val) == 140
    assert any(note.startswith("10 images of train are left out") for note in data.notes)
