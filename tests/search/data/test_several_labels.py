"""Images with several labels: how they are read, and how they are split."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from blocks.embedded import __file__ as embedded
from search.config.schema import DatasetConfig
from search.data.datasets import load_data
from search.data.files import list_files
from search.data.splits import PARTS, Raw, divide
from search.errors import DataError

IMAGES = 12
LABELS = [("bag",), ("boot", "bag"), (), ("boot",), ("bag", "coat"), ("boot", "coat")] * 2
ONE_HOT = [[int(name in own) for name in ("bag", "boot", "coat")] for own in LABELS]


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("photos")
    with np.load(Path(embedded).parent / "fashion_mnist_6000_2000.npz") as arrays:
        images = arrays["x_train"][:IMAGES]
    for number, image in enumerate(images):
        Image.fromarray(image).save(root / f"{number:02}.png")
    return root


def names() -> list[str]:
    return [f"{number:02}.png" for number in range(IMAGES)]


def separated(separator: str) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        cells = [separator.join(own) for own in LABELS]
        pd.DataFrame({"image": names(), "label": cells}).to_csv(path, index=False)

    return write


def one_hot(path: Path) -> None:
    table = pd.DataFrame(ONE_HOT, columns=["bag", "boot", "coat"])
    table.assign(image=names()).to_csv(path, index=False)


def row_for_each(path: Path) -> None:
    rows = [
        (name, label)
        for name, own in zip(names(), LABELS, strict=True)
        for label in own or [""]
    ]  # fmt: skip
    pd.DataFrame(rows, columns=["image", "label"]).to_csv(path, index=False)


def lists(path: Path) -> None:
    rows = zip(names(), LABELS, strict=True)
    path.write_text("\n".join(json.dumps({"image": n, "label": list(own)}) for n, own in rows))


def coco(path: Path) -> None:
    classes = ["bag", "boot", "coat"]
    content = {
        "images": [{"id": number, "file_name": name} for number, name in enumerate(names())],
        "annotations": [
            {"image_id": number, "category_id": classes.index(label)}
            for number, own in enumerate(LABELS)
            for label in own * 2  # as two boxes
        ],
        "categories": [{"id": number, "name": name} for number, name in enumerate(classes)],
    }
    path.write_text(json.dumps(content))


TABLES: dict[str, Callable[[Path], None]] = {
    "semicolon.csv": separated(";"),
    "comma.csv": separated(", "),
    "bar.tsv": separated("|"),
    "one_hot.csv": one_hot,
    "rows.csv": row_for_each,
    "lists.jsonl": lists,
    "coco.json": coco,
}


def table(path: Path, root: Path, **settings: object) -> DatasetConfig:
    return DatasetConfig(name="table", path=str(path), root=str(root), cache=None, **settings)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", TABLES)
def test_every_form_of_a_table_is_read_alike(name: str, photos: Path, tmp_path: Path) -> None:
    TABLES[name](tmp_path / name)
    found = list_files(table(tmp_path / name, photos), several=True)
    assert found.classes == ("bag", "boot", "coat")
    by_name = {file.path.name: file.labels for file in found.files}
    expected = [tuple(np.flatnonzero(own).tolist()) for own in ONE_HOT]
    assert by_name == dict(zip(names(), expected, strict=True))
    assert any("2 images have none of the labels" in note for note in found.notes)


def test_a_separator_that_is_given(photos: Path, tmp_path: Path) -> None:
    separated(" ")(tmp_path / "labels.csv")
    config = table(tmp_path / "labels.csv", photos, on_unlabelled="skip")
    assert len(list_files(config, several=True).classes) == 5  # "boot bag" is one label
    found = list_files(replace(config, separator=" "), several=True)
    assert found.classes == ("bag", "boot", "coat")
    assert [each.reason for each in found.passed] == ["no label"] * 2


@pytest.mark.parametrize("name", ["one_hot.csv", "rows.csv", "coco.json"])
def test_several_labels_are_refused_where_one_is_expected(
    name: str, photos: Path, tmp_path: Path
) -> None:
    TABLES[name](tmp_path / name)
    with pytest.raises(DataError, match="task=multilabel"):
        list_files(table(tmp_path / name, photos, on_unlabelled="skip"))


def test_cells_that_may_hold_several_labels_are_said(photos: Path, tmp_path: Path) -> None:
    separated(";")(tmp_path / "labels.csv")
    found = list_files(table(tmp_path / "labels.csv", photos, on_unlabelled="skip"))
    assert "bag;coat" in found.classes
    assert any("3 labels hold ';': task=multilabel takes" in note for note in found.notes)


def test_tables_and_arrays_are_the_same_data(photos: Path, tmp_path: Path) -> None:
    """Cached or not, as files or arrays; one other label makes it another data set."""
    one_hot(tmp_path / "labels.csv")
    fractions = {"val_fraction": 0.3, "test_fraction": 0.3}
    config = table(tmp_path / "labels.csv", photos, image_size=28, **fractions)
    data = load_data(config, 28, several=True)
    cached = load_data(replace(config, cache=str(tmp_path / "cache")), 28, several=True)
    again = load_data(replace(config, cache=str(tmp_path / "cache")), 28, several=True)
    for part in PARTS:
        split = getattr(data, part)
        assert split.labels.shape == (len(split), 3)
        assert split.labels.sum(0).min() > 0  # each label is in each split
        for other in (cached, again):
            assert getattr(other, part).labels.equal(split.labels)
    assert cached.sha256 == again.sha256 == data.sha256
    pixels = np.stack([np.asarray(Image.open(photos / name)) for name in names()])
    arrays = {"x_train": pixels, "y_train": np.array(ONE_HOT)}
    np.savez(tmp_path / "a.npz", **arrays, classes=np.array(["bag", "boot", "coat"]))
    arrays["y_train"][0, 2] = 1
    np.savez(tmp_path / "b.npz", **arrays)
    config = DatasetConfig(name="npz", root=str(tmp_path / "a.npz"), **fractions)
    array = load_data(config, 28, several=True)
    other = load_data(replace(config, root=str(tmp_path / "b.npz")), 28, several=True)
    assert array.classes == ("bag", "boot", "coat")
    assert other.classes == ("0", "1", "2")
    assert array.sha256 != other.sha256
    assert array.several


def raw_of(labels: list[list[int]]) -> Raw:
    known = np.array(labels, np.uint8)
    hashes = tuple(bytes([number] * 32) for number in range(len(known)))
    names = tuple("abcdefgh"[: known.shape[1]])
    return Raw(names, ("train",) * len(known), known, hashes, lambda rows: iter(()))


SPLIT = DatasetConfig(root="here", val_fraction=0.2, test_fraction=0.2)


def test_each_label_is_in_each_split() -> None:
    """Hashes are 0, 1, 2, …: all are so low that they would be val. Of a, the first twelve images,
    0 and 1 are val, 2 to 4 test. Of b, the rarer one, 10 is val, in the middle of its first third,
    and nothing test: 11 is taken for it, the first of which train has others with each label."""
    labels = [[1, 0]] * 10 + [[1, 1]] * 2 + [[0, 1]] + [[0, 0]] * 3
    divided = divide(SPLIT, raw_of(labels))
    assert {part: rows.tolist() for part, rows in divided.rows.items()} == {
        "train": [5, 6, 7, 8, 9, 12],
        "val": [0, 1, 10, 13, 14, 15],
        "test": [2, 3, 4, 11],
    }


@pytest.mark.parametrize("share", [0.08, 0.3])
def test_every_image_is_in_one_split_and_each_label_in_all(share: float) -> None:
    generator = np.random.default_rng(0)
    for _ in range(20):
        labels = (generator.random((40, 8)) < share).astype(np.uint8)
        for label in range(8):
            labels[generator.permutation(40)[:3], label] = 1
        hashes = tuple(map(bytes, generator.integers(0, 256, (40, 32))))
        rows = divide(SPLIT, replace(raw_of(labels.tolist()), hashes=hashes)).rows
        assert sorted(np.concatenate([*rows.values()]).tolist()) == list(range(40))
        assert all(labels[rows[part]].any(0).all() for part in PARTS)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([[1, 0]] * 9 + [[1, 1]] * 2, r"class 'b' .* has 2 images to split into train and val"),
        ([[1, 1]] * 3, None),
    ],
)
def test_labels_too_few_to_split(labels: list[list[int]], message: str | None) -> None:
    if message is None:
        rows = divide(SPLIT, raw_of(labels)).rows
        assert sorted(len(each) for each in rows.values()) == [1, 1, 1]
        return
    with pytest.raises(DataError, match=message):
        divide(SPLIT, raw_of(labels))


@pytest.mark.parametrize(
    ("labels", "extra", "several", "message"),
    [
        (np.zeros(4, int), {}, True, "y_train is int64 4; task=multilabel expects images × labels"),
        (np.full((4, 2), 2), {}, True, "y_train holds 2; task=multilabel expects 0 and 1"),
        (
            np.ones((4, 2), int),
            {"classes": np.array(["a", "a"])},
            True,
            "classes holds 2 names, 1 of them different; expected one for each of the 2 labels",
        ),
        (np.ones((4, 2), int), {}, False, "whole numbers"),
    ],
)
def test_wrong_arrays(
    labels: np.ndarray, extra: dict[str, np.ndarray], several: bool, message: str, tmp_path: Path
) -> None:
    pixels = np.arange(4 * 64, dtype=np.uint8).reshape(4, 8, 8)
    np.savez(tmp_path / "x.npz", x_train=pixels, y_train=labels, **extra)
    with pytest.raises(DataError, match=message):
        load_data(DatasetConfig(name="npz", root=str(tmp_path / "x.npz")), 8, several)


def test_folders_have_one_class_for_each_image(tmp_path: Path) -> None:
    config = DatasetConfig(name="imagefolder", root=str(tmp_path))
    with pytest.raises(DataError, match="expects dataset=table or dataset=npz"):
        load_data(config, 8, several=True)
