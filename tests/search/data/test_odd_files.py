"""What lies in people's folders beside plain pictures: read right or refused, never in silence."""

import logging
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from search.config.schema import DatasetConfig
from search.data.datasets import load_data
from search.data.decode import settle_reading
from search.data.files import list_files
from search.data.table_formats import read_table
from search.errors import DataError


def save(path: Path, number: int, dtype: type = np.uint8) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.random.default_rng(number).random((6, 6))
    scaled = {np.uint8: values * 255, np.uint16: values * 4000, np.float32: values}[dtype]
    if path.suffix == ".npy":
        np.save(path, scaled.astype(dtype))
    else:
        Image.fromarray(scaled.astype(dtype)).save(path)


def config(root: Path, **settings: str) -> DatasetConfig:
    return DatasetConfig(name="imagefolder", root=str(root), cache=None, **settings)


def test_whole_numbers_and_floats_have_no_common_range(tmp_path: Path) -> None:
    for number in range(9):
        save(tmp_path / "a" / f"{number}.png", number, np.uint16)
        save(tmp_path / "b" / f"{number}.npy", 100 + number, np.float32)
    with pytest.raises(
        DataError, match=r"images of two kinds have no common range: 9 of whole"
    ) as w:
        load_data(config(tmp_path), 6)
    assert f"first {tmp_path / 'b' / '0.npy'}); dataset.range=type takes each" in str(w.value)
    data = load_data(config(tmp_path, range="type"), 6)
    # Each by its own type: 4,000 of 65,535 is dark, 1.0 of floats is white.
    for label, (least, most) in enumerate(((0, 17), (200, 256))):
        own = data.train.images[data.train.labels == label]
        assert least <= int(own.max()) < most


def test_eight_bits_beside_more_are_said(tmp_path: Path) -> None:
    for number in range(8):
        save(tmp_path / "a" / f"{number}.png", number, np.uint16)
        save(tmp_path / "b" / f"{number}.png", 50 + number)
    (tmp_path / "b" / "broken.png").write_bytes(b"\x89PNG")
    _, notes = settle_reading(config(tmp_path), list_files(config(tmp_path)).files)
    assert len(notes) == 1
    assert notes[0].startswith("8 images have more than 8 bits: ")
    assert notes[0].endswith("(dataset.range=auto); 8 images of 8 bits beside them keep 0 to 255")


@pytest.mark.parametrize(
    ("folders", "message"),
    [
        (("images", "masks"), "holds images and masks, which look like pictures and their masks, "
         "not classes"),
        (("train/Images", "train/annotations", "test/Images"), "train holds Images and annot"),
        (("cat/images", "cat/masks", "dog/images", "dog/masks"), "cat holds images and masks, "
         "which look like pictures and their masks, not images of one class"),
    ],
)  # fmt: skip
def test_masks_are_no_class(folders: tuple[str, ...], message: str, tmp_path: Path) -> None:
    for place, folder in enumerate(folders):
        for number in range(4):
            save(tmp_path / folder / f"{number}.png", 10 * place + number)
    with pytest.raises(DataError, match=message) as refused:
        list_files(config(tmp_path))
    assert str(refused.value).endswith("layout=classes, which takes all images as they are")
    found = list_files(config(tmp_path, layout="classes"))
    assert len(found.files) == 4 * len(folders)


def test_a_class_may_be_called_masks_among_others(tmp_path: Path) -> None:
    for place, folder in enumerate(("images", "masks", "cups", "plates")):
        for number in range(4):
            save(tmp_path / folder / f"{number}.png", 10 * place + number)
    assert list_files(config(tmp_path)).classes == ("cups", "images", "masks", "plates")


def test_masks_beside_their_images_are_passed_over(tmp_path: Path) -> None:
    names = ("1.png", "1_mask.png", "1_mask_1.png", "2.png", "2 Segmentation.png", "gas_mask.png",
             "porsche.png", "porsche_gt3.png", "3_gt.png")  # fmt: skip
    for place, folder in enumerate(("benign", "malignant")):
        for number, name in enumerate(names):
            save(tmp_path / folder / name, 10 * place + number)
    (tmp_path / "benign" / "3.txt").write_text("no image")
    found = list_files(config(tmp_path))
    kept = ["1.png", "2.png", "3_gt.png", "gas_mask.png", "porsche.png", "porsche_gt3.png"]
    assert [file.path.name for file in found.files] == kept * 2
    masks = [each for each in found.passed if each.reason == "a mask of the image beside it"]
    assert (len(masks), len(found.passed)) == (6, 7)
    assert len(list_files(config(tmp_path, layout="classes")).files) == 18


ROWS = (("一.png", "犬"), ("二.png", "ねこ"), ("三.png", "ｲﾇ小屋"))


def written(path: Path, rows: tuple[tuple[str, str], ...], encoding: str) -> Path:
    lines = ["file,label", *(f"{name},{label}" for name, label in rows)]
    path.write_bytes("\n".join(lines).encode(encoding))
    return path


def test_a_japanese_table_is_read_and_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "compound_nas")
    table = read_table(written(tmp_path / "labels.csv", ROWS, "shift_jis"))
    assert [tuple(row) for row in table.to_numpy()] == list(ROWS)
    assert "labels.csv is read as Shift-JIS" in caplog.text


@pytest.mark.parametrize(
    "label", ["café", "Größe", "dog’s “best”", "naïve – élève", "5 €", "Œuvre"]
)
def test_a_european_table_is_none(label: str, tmp_path: Path) -> None:
    rows = (("a.png", label), ("b.png", "plain"))
    table = read_table(written(tmp_path / "labels.csv", rows, "cp1252"))
    assert table["label"].tolist() == [label, "plain"]


def test_another_encoding_is_named(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_bytes(b"file,label\na.png,\x81\xff\x8d\n")
    with pytest.raises(
        DataError, match="is neither UTF-8 nor Windows' cp1252, nor is the file Jap"
    ):
        read_table(path)
