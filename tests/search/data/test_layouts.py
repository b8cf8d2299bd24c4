"""Folders and tables as tools export them: read right, or refused in one line."""

import json
import os
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from blocks.images.walk import passed_csv
from search.config.compose import compose_config
from search.config.schema import ColumnsConfig, DatasetConfig, RunConfig
from search.data.datasets import load_data
from search.data.files import list_files, relative
from search.data.splits import Raw, divide
from search.errors import DataError


@pytest.fixture(scope="module")
def pictures() -> dict[str, list[Image.Image]]:
    """Real images of three classes."""
    data = load_data(DatasetConfig(name="fashion_mnist"), 28)
    return {
        name: [
            Image.fromarray(image[0].numpy())
            for image in data.train.images[data.train.labels == label][:40]
        ]
        for label, name in enumerate(data.classes[:3])
    }


Pictures = dict[str, list[Image.Image]]
NAMES = ("t-shirt", "trouser", "pullover")


class Maker:
    """Saves images under a root, each once."""

    def __init__(self, root: Path, pictures: Pictures) -> None:
        self.root = root
        self.pictures = {name: iter(images) for name, images in pictures.items()}

    def save(self, name: str, *paths: str) -> None:
        for path in paths:
            where = self.root / path
            where.parent.mkdir(parents=True, exist_ok=True)
            kind = None if where.suffix != ".jfif" else "JPEG"
            next(self.pictures[name]).save(where, kind)

    def classes(self, folder: str = "", each: int = 4, names: Sequence[str] = NAMES) -> None:
        for name in names:
            for number in range(each):
                self.save(name, f"{folder}/{name}/{number}.png".lstrip("/"))

    def touch(self, path: str, content: bytes = b"") -> None:
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).write_bytes(content)


def splits(*names: str) -> Callable[[Maker], None]:
    def make(maker: Maker) -> None:
        for name in names:
            maker.classes(name)

    return make


def plain(maker: Maker) -> None:
    maker.classes()


def by_hand(maker: Maker) -> None:
    """Notes, thumbnails and a spreadsheet beside the classes; upper-case endings."""
    maker.classes()
    maker.touch("notes.txt")
    maker.touch("labels.xlsx")
    maker.touch("trouser/desktop.ini")
    maker.touch("trouser/Thumbs.db")
    maker.save("trouser", "trouser/UPPER.PNG", "cover.jpg")


def archive(maker: Maker) -> None:
    """As a Mac packs it."""
    maker.classes()
    maker.touch("__MACOSX/trouser/._0.png", b"\0\5\x16\7" + bytes(80))
    maker.touch("trouser/._0.png", b"\0\5\x16\7" + bytes(80))
    maker.touch(".DS_Store")


def notebook(maker: Maker) -> None:
    maker.classes()
    maker.save("trouser", "trouser/.ipynb_checkpoints/0-checkpoint.png")


def kinds(maker: Maker) -> None:
    maker.classes()
    maker.save("trouser", "trouser/a.gif", "trouser/b.jfif", "trouser/c.webp", "trouser/d.tif")
    maker.touch("trouser/e.psd")
    maker.touch("trouser/f")


def linked(maker: Maker) -> None:
    maker.classes("here")
    maker.classes("there", each=2)
    for name in NAMES:
        (maker.root / "here" / name / "more").symlink_to(maker.root / "there" / name)
    # In circles: to its own folder, and to the one above.
    (maker.root / "here" / "trouser" / "again").symlink_to(maker.root / "here" / "trouser")
    (maker.root / "here" / "trouser" / "above").symlink_to(maker.root)
    (maker.root / "here" / "trouser" / "gone.png").symlink_to(maker.root / "nowhere")


def train_is_a_class(maker: Maker) -> None:
    maker.classes(names=NAMES[:2])
    maker.save("pullover", *(f"train/{number}.png" for number in range(4)))


def train_may_be_either(maker: Maker) -> None:
    maker.classes(names=NAMES[:2])
    maker.save("pullover", *(f"train/steam/{number}.png" for number in range(4)))


def flat_test(maker: Maker) -> None:
    maker.classes("train")
    maker.save("trouser", "test/1.png", "test/2.png")


def flat(maker: Maker) -> None:
    maker.save("trouser", "1.png", "2.png")


def wrapped(maker: Maker) -> None:
    maker.classes("clothes-v2")


def classes_first(maker: Maker) -> None:
    for name in NAMES:
        maker.save(name, *(f"{name}/train/{number}.png" for number in range(4)))
        maker.save(name, f"{name}/Val/0.png", f"{name}/test/0.png")


def beside_classes(maker: Maker) -> None:
    maker.classes()
    maker.classes("test", each=2)


def beside_splits(maker: Maker) -> None:
    maker.classes("train")
    maker.classes("val", each=2)
    maker.classes("unused", each=2)
    maker.touch("README.roboflow.txt")
    maker.save("trouser", "train/loose.png")


def stranger(maker: Maker) -> None:
    maker.classes("train", names=NAMES[:2])
    maker.classes("test")


def fewer_in_test(maker: Maker) -> None:
    maker.classes("train")
    maker.classes("test", names=NAMES[1:])


def empty_class(maker: Maker) -> None:
    maker.classes()
    (maker.root / "coat").mkdir()


def nested(maker: Maker) -> None:
    for name in NAMES:
        maker.save(name, *(f"{name}/{number % 2}/{number}.png" for number in range(6)))


def odd_names(maker: Maker) -> None:
    for name, odd in zip(NAMES, ("été 2026", "a,b: 'c'", "#1 {x}"), strict=True):
        maker.save(name, *(f"{odd}/{number}.png" for number in range(4)))


def named_like_splits(maker: Maker) -> None:
    maker.classes("seg_train")
    maker.classes("seg_test")
    maker.classes("seg_pred")


def flat_beside(maker: Maker) -> None:
    maker.classes()
    maker.save("trouser", "test/1.png", "test/2.png")


def classes_first_in_part(maker: Maker) -> None:
    """Masks and a stray image beside the splits of the classes."""
    classes_first(maker)
    maker.save("trouser", "trouser/masks/0.png", "trouser/stray.png")


def one_undivided(maker: Maker) -> None:
    classes_first(maker)
    maker.save("trouser", "coat/1.png")


def with_results(maker: Maker) -> None:
    maker.classes()
    for name in ("pareto", "front", "other"):
        maker.save("trouser", f"results/pets/{name}.png")
    maker.touch("results/pets/environment.json")


def other_bytes(maker: Maker) -> None:
    """A name as Windows packs it: not UTF-8."""
    maker.classes()
    maker.touch(os.fsdecode(b"trouser/\xfc.txt"))


# What is made; settings; images of each split; what is passed over, by reason. Or a refusal.
LAYOUTS: dict[str, tuple[Callable[[Maker], None], dict[str, str], object, object]] = {
    "classes": (plain, {}, [12], {}),
    "train val test": (splits("train", "val", "test"), {}, [12, 12, 12], {}),
    "train valid test": (splits("train", "valid", "test"), {}, [12, 12, 12], {}),
    "Training Testing": (splits("Training", "Testing"), {}, [12, 12], {}),
    "train validation": (splits("train", "validation"), {}, [12, 12], {}),
    "train eval": (splits("TRAIN", "Eval"), {}, [12, 12], {}),
    "train dev": (splits("train", "dev"), {}, [12, 12], {}),
    "classes first": (classes_first, {}, [12, 3, 3], {}),
    "test beside classes": (beside_classes, {}, [12, 6], {}),
    "fewer classes in test": (fewer_in_test, {}, [12, 8], {}),
    "nested": (nested, {}, [18], {}),
    "odd names": (odd_names, {}, [12], {}),
    "by hand": (
        by_hand, {}, [13],
        {"the operating system's own": 2, "no reader for .txt": 1, "no reader for .xlsx": 1,
         "no class: beside the class folders": 1},
    ),
    "archive": (archive, {}, [12], {"the operating system's own": 1, "hidden": 2}),
    "notebook": (notebook, {}, [12], {"hidden": 1}),
    "kinds": (
        kinds, {}, [16], {"no reader for .psd": 1, "no reader: a name without an ending": 1},
    ),
    "linked": (
        linked, {"root": "here"}, [18],
        {"a link to a folder that is read already": 2, "a broken link": 1},
    ),
    "a class called train": (train_is_a_class, {}, [12], {}),
    "train, said to be a class": (train_may_be_either, {"layout": "classes"}, [12], {}),
    "beside splits": (
        beside_splits, {}, [12, 6],
        {"beside the splits, and none of them": 1, "no reader for .txt": 1,
         "no class: beside the class folders": 1},
    ),
    "flat test, left out": (flat_test, {"on_unlabelled": "skip"}, [12], {"no class": 2}),
    "classes first, and masks": (
        classes_first_in_part, {}, [12, 3, 3],
        {"beside the splits, and none of them": 1, "no split: beside train and test": 1},
    ),
    "results inside": (with_results, {}, [12], {"a folder of studies": 1}),
    "a name of other bytes": (other_bytes, {}, [12], {"no reader for .txt": 1}),
    "test beside classes, left out": (
        flat_beside, {"on_unlabelled": "skip"}, [12], {"no class": 2},
    ),
    "test beside classes, flat": (flat_beside, {}, "test holds 2 .*layout=classes takes it", None),
    "named like splits": (named_like_splits, {}, "seg_test, seg_train, which look like spl", None),
    "one class undivided": (one_undivided, {}, "coat has no folder train, as .* has;", None),
    "flat test": (flat_test, {}, "test holds 2 images and no class folders.*on_unlabelled=", None),
    "train, either": (train_may_be_either, {}, "train beside t-shirt, trouser: a split or a", None),
    "flat": (flat, {}, "holds 2 images but no class folders; expected one folder per", None),
    "wrapped": (wrapped, {}, r"one class only.*did you mean dataset\.root=.*clothes-v2\?", None),
    "val and valid": (
        splits("train", "val", "valid"), {}, "holds val and valid: both are names of the val", None,
    ),
    "no train": (splits("val", "test"), {}, "has test, val but no train folder", None),
    "a class that train has not": (stranger, {}, "class 'pullover', which .*train has not", None),
}  # fmt: skip


@pytest.mark.parametrize("name", LAYOUTS)
def test_folders(name: str, pictures: Pictures, tmp_path: Path) -> None:
    make, given, expected, passed = LAYOUTS[name]
    make(Maker(tmp_path, pictures))
    settings = dict(given)
    root = tmp_path / settings.pop("root", "")
    config = DatasetConfig(name="imagefolder", root=str(root), **settings)  # type: ignore[arg-type]
    if isinstance(expected, str):
        with pytest.raises(DataError, match=expected) as refusal:
            list_files(config)
        assert "\n" not in str(refusal.value)
        return
    found = list_files(config)
    passed_csv(found.passed).encode()
    counts = Counter(file.part for file in found.files)
    assert sorted(counts.values(), reverse=True) == sorted(expected, reverse=True)  # type: ignore[call-overload]
    assert len(found.classes) == 3
    assert Counter(each.reason for each in found.passed) == passed
    for file in found.files:
        name = found.classes[file.label]
        assert name in file.path.relative_to(root).parts


def test_an_empty_class_is_named(pictures: Pictures, tmp_path: Path) -> None:
    empty_class(Maker(tmp_path, pictures))
    with pytest.raises(DataError, match=r"class 'coat' of .* holds no readable image"):
        load_data(DatasetConfig(name="imagefolder", root=str(tmp_path), cache=None), 28)


def rows_of(root: Path) -> pd.DataFrame:
    paths = sorted(root.rglob("*.png"))
    return pd.DataFrame(
        {
            "image": [str(path.relative_to(root)) for path in paths],
            "label": [path.parent.name for path in paths],
        }
    )


def one_hot(table: pd.DataFrame) -> pd.DataFrame:
    marks = pd.get_dummies(table["label"]).astype(int)
    return pd.concat([table[["image"]], marks], axis=1)


def as_coco(table: pd.DataFrame) -> str:
    names = sorted(set(table["label"]))
    return json.dumps(
        {
            "images": [{"id": n, "file_name": name} for n, name in enumerate(table["image"])],
            "annotations": [
                {"image_id": n, "category_id": 7 + names.index(name)}
                for n, name in enumerate(table["label"])
            ],
            "categories": [{"id": 7 + n, "name": name} for n, name in enumerate(names)],
        }
    )


TABLES: dict[str, Callable[[pd.DataFrame, Path], object]] = {
    "labels.csv": lambda table, path: table.to_csv(path, index=False),
    "semicolons.csv": lambda table, path: table.to_csv(path, index=False, sep=";"),
    "labels.tsv": lambda table, path: table.to_csv(path, index=False, sep="\t"),
    "mark.csv": lambda table, path: table.to_csv(path, index=False, encoding="utf-8-sig"),
    "wide.csv": lambda table, path: table.to_csv(path, index=False, encoding="utf-16"),
    "index.csv": lambda table, path: table.to_csv(path),
    "metadata.jsonl": lambda table, path: table.rename(columns={"image": "file_name"}).to_json(
        path, orient="records", lines=True
    ),
    "rows.json": lambda table, path: table.to_json(path, orient="records"),
    "coco.json": lambda table, path: path.write_text(as_coco(table)),
    "one_hot.csv": lambda table, path: one_hot(table).to_csv(path, index=False),
    "without_endings.csv": lambda table, path: table.assign(
        image=table["image"].str.removesuffix(".png")
    ).to_csv(path, index=False),
    "other_names.csv": lambda table, path: table.rename(
        columns={"image": "Bild", "label": "Sorte"}
    ).to_csv(path, index=False),
    "windows.csv": lambda table, path: table.assign(
        image=table["image"].str.replace("/", "\\")
    ).to_csv(path, index=False),
}


@pytest.fixture(scope="module")
def clothes(tmp_path_factory: pytest.TempPathFactory, pictures: Pictures) -> Path:
    root = tmp_path_factory.mktemp("clothes")
    Maker(root, pictures).classes(each=6)
    return root


def folder(root: Path, **settings: object) -> DatasetConfig:
    return DatasetConfig(name="imagefolder", root=str(root), cache=None, **settings)  # type: ignore[arg-type]


def table(path: Path, root: Path, **settings: object) -> DatasetConfig:
    return DatasetConfig(name="table", path=str(path), root=str(root), cache=None, **settings)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", TABLES)
def test_tables_are_the_same_data_as_folders(name: str, clothes: Path, tmp_path: Path) -> None:
    path = tmp_path / name
    TABLES[name](rows_of(clothes), path)
    ours, theirs = load_data(table(path, clothes), 8), load_data(folder(clothes), 8)
    assert ours.sha256 == theirs.sha256
    assert ours.classes == theirs.classes
    assert (ours.train.images == theirs.train.images).all()
    assert "labels in" in ours.notes[0]


def test_a_parquet_table(clothes: Path, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    rows_of(clothes).to_parquet(tmp_path / "labels.parquet")
    found = list_files(table(tmp_path / "labels.parquet", clothes))
    assert len(found.files) == 18


def test_splits_and_groups_of_a_table(clothes: Path, tmp_path: Path) -> None:
    rows = rows_of(clothes)
    rows["split"] = ["training", "validation", "test"] * 6
    rows["patient"] = [str(number // 2) for number in range(18)]
    rows.to_csv(tmp_path / "labels.csv", index=False)
    found = list_files(table(tmp_path / "labels.csv", clothes))
    assert Counter(file.part for file in found.files) == {"train": 6, "val": 6, "test": 6}
    assert any("dataset.group=patient" in note for note in found.notes)
    assert all(file.group is None for file in found.files)
    # Asked for, groups stay together; where the splits part them, it is said.
    data = load_data(table(tmp_path / "labels.csv", clothes, group="patient"), 8)
    assert any("groups lie in train and in val" in note for note in data.notes)
    rows.drop(columns="split").to_csv(tmp_path / "whole.csv", index=False)
    apart = load_data(
        table(tmp_path / "whole.csv", clothes, group="patient", val_fraction=0.4,
              test_fraction=0.3), 8,
    )  # fmt: skip
    assert sum(map(len, (apart.train, apart.val, apart.test))) == 18
    assert all(len(part) % 2 == 0 for part in (apart.train, apart.val, apart.test))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: rows.assign(label=""), "row 2: .* has no label; dataset.on_unlabelled=skip"),
        (
            lambda rows: pd.concat([rows, rows[:1].assign(label="coat")]),
            "row 20: .* has the label 'coat', and 'pullover' in a row before",
        ),
        (
            lambda rows: pd.concat([rows, rows[:1].assign(image="no.png")]),
            "row 20: no file 'no.png'; dataset.on_corrupt=skip",
        ),
        (lambda rows: rows.assign(split="fold 1"), "row 2: split 'fold 1' is unknown; expected on"),
        (lambda rows: rows.assign(image="x"), r"no column names files .* 'x' is not in .*root="),
        (lambda rows: rows[["image"]], "which column is the label"),
        (lambda rows: rows[:0], "has no rows"),
        (
            lambda rows: one_hot(rows).assign(trouser=1),
            "1 image has several labels, first .*row",
        ),
    ],
)  # fmt: skip
def test_wrong_tables(
    change: Callable[[pd.DataFrame], pd.DataFrame], message: str, clothes: Path, tmp_path: Path
) -> None:
    change(rows_of(clothes)).to_csv(tmp_path / "labels.csv", index=False)
    with pytest.raises(DataError, match=message) as refusal:
        list_files(table(tmp_path / "labels.csv", clothes))
    assert "\n" not in str(refusal.value)


def test_what_a_table_leaves_out_is_said(clothes: Path, tmp_path: Path) -> None:
    rows = rows_of(clothes)
    rows = pd.concat([rows[2:], rows[-1:], rows[:1].assign(image="no.png")])
    rows.iloc[0, 1] = ""
    rows.to_csv(tmp_path / "labels.csv", index=False)
    found = list_files(
        table(tmp_path / "labels.csv", clothes, on_corrupt="skip", on_unlabelled="skip")
    )
    assert Counter(each.reason for each in found.passed) == {
        "not in the table": 2, "no label": 1, "in the table, but no such file": 1,
    }  # fmt: skip
    assert len(found.files) == 15
    assert any("1 row repeats" in note for note in found.notes)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("labels.xlsx", b"", "is no table; expected a name in .csv"),
        ("labels.csv", b"", "cannot read .*labels.csv"),
        ("labels.json", b"{}", "cannot read .*labels.json"),
        ("labels.jsonl", b"{no", "cannot read .*labels.jsonl"),
        ("missing/labels.csv", None, "cannot read .*No such file"),
    ],
)
def test_unreadable_tables(
    name: str, content: bytes | None, message: str, clothes: Path, tmp_path: Path
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message):
        list_files(table(tmp_path / name, clothes))


@pytest.mark.parametrize(
    ("group", "groups"),
    [(r"^(\d)", {"0", "1", "2", "3", "4", "5"}), ("level:1", {"0", "1"}), (r"\.png", {".png"})],
)
def test_groups_of_a_folder(
    group: str, groups: set[str], pictures: Pictures, tmp_path: Path
) -> None:
    nested(Maker(tmp_path, pictures))
    found = list_files(folder(tmp_path, group=group))
    assert {file.group for file in found.files} == groups


@pytest.mark.parametrize(
    ("group", "message"),
    [
        (r"^(?:([1-9])\.)?", r"does not match the name of .*0\.png"),
        ("level:2", "lies 1 folders below its class; expected 2"),
        ("(", "is no regular expression"),
        ("patient_", "does not match the name of"),
    ],
)
def test_wrong_groups(group: str, message: str, pictures: Pictures, tmp_path: Path) -> None:
    nested(Maker(tmp_path, pictures))
    with pytest.raises(DataError, match=message):
        list_files(folder(tmp_path, group=group))


def test_splits_that_share_images_are_said(pictures: Pictures, tmp_path: Path) -> None:
    Maker(tmp_path, pictures).classes("train")
    os.symlink(tmp_path / "train", tmp_path / "valid")
    data = load_data(folder(tmp_path), 8)
    assert any("of the 12 val images are in train too" in note for note in data.notes)
    assert len(data.val) == 12


def test_small_classes_are_split_as_asked(pictures: Pictures, tmp_path: Path) -> None:
    """20 images of each class, a fifth of them each to val and to test: 4 and 4, not by chance."""
    Maker(tmp_path, pictures).classes(each=20)
    data = load_data(folder(tmp_path, val_fraction=0.2, test_fraction=0.2), 8)
    for split, number in ((data.train, 12), (data.val, 4), (data.test, 4)):
        assert np.bincount(split.labels.numpy()).tolist() == [number] * 3


def test_no_class_is_lost_where_groups_hold_several(tmp_path: Path) -> None:
    """Of random groups and classes, every part has every class, or it is said that it cannot."""
    refused = 0
    for seed in range(150):
        draw = np.random.default_rng(seed)
        classes = ("cat", "dog", "emu")
        groups = tuple(str(group) for group in draw.integers(0, 6, 24))
        raw = Raw(
            classes,
            ("train",) * 24,
            draw.integers(0, 3, 24),
            tuple(draw.bytes(32) for _ in range(24)),
            lambda rows: iter(()),
            groups,
        )
        config = DatasetConfig(name="imagefolder", root="x", val_fraction=0.2, test_fraction=0.2)
        try:
            divided = divide(config, raw)
        except DataError:
            refused += 1
            continue
        for rows in divided.rows.values():
            assert set(raw.labels[rows]) == {0, 1, 2}
        where = [{groups[row] for row in rows} for rows in divided.rows.values()]
        assert sum(map(len, where)) == len(set(groups))
    assert refused < 75


def test_an_image_in_two_classes_is_said(pictures: Pictures, tmp_path: Path) -> None:
    Maker(tmp_path, pictures).classes()
    (tmp_path / "trouser" / "9.png").write_bytes((tmp_path / "t-shirt" / "0.png").read_bytes())
    data = load_data(folder(tmp_path), 8)
    assert any("1 image is in two classes, first in 't-shirt' and 't" in n for n in data.notes)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{0},trouser\n{1},coat\n", "its first row names the file '.*0.png'"),
        ("file,night,kind\n{0},0,a\n{1},1,b\n{2},0,a\n{3},1,b\n", "which column is the label"),
    ],
)
def test_tables_that_say_too_little(text: str, message: str, clothes: Path, tmp_path: Path) -> None:
    names = [str(path.relative_to(clothes)) for path in sorted(clothes.rglob("*.png"))]
    (tmp_path / "labels.csv").write_text(text.format(*names))
    with pytest.raises(DataError, match=message):
        list_files(table(tmp_path / "labels.csv", clothes))


def test_columns_by_what_they_hold(clothes: Path, tmp_path: Path) -> None:
    """Row numbers that are files too, a coordinate y, two marks of 0 and 1, Excel's first line."""
    rows = rows_of(clothes).rename(columns={"image": "photo", "label": "kind"})
    rows["y"] = np.linspace(0, 1, len(rows)).astype(str)
    rows["set"] = [f"fold {number}" for number in range(len(rows))]
    (tmp_path / "labels.csv").write_text("sep=;\n" + rows.to_csv(index=False, sep=";"))
    found = list_files(table(tmp_path / "labels.csv", clothes))
    assert found.classes == tuple(sorted(NAMES))


def test_columns_from_the_command_line(clothes: Path) -> None:
    given = ["dataset=table", "dataset.path=x.csv", "dataset.columns={path: photo, label: kind}"]
    columns = compose_config(
        "config", [*given, "dataset.columns.split=part"], RunConfig
    ).dataset.columns
    assert columns == ColumnsConfig("photo", "kind", "part", None)


def test_files_are_looked_up_beside_the_table_alone_or_in_the_root_alone(
    clothes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Relative paths, too: each file has its own hash."""
    shutil.copytree(clothes, tmp_path / "images" / "clothes")
    (tmp_path / "tables").mkdir()
    rows_of(clothes).to_csv(tmp_path / "tables" / "labels.csv", index=False)
    monkeypatch.chdir(tmp_path)
    config = DatasetConfig(
        name="table", path="tables/labels.csv", root="images/clothes", cache="cache"
    )
    assert load_data(config, 8).sha256 == load_data(replace(config, cache=None), 8).sha256
    # With the folder named, no other one is asked.
    shutil.copy(clothes / "trouser" / "0.png", tmp_path / "tables" / "more.png")
    with open("tables/labels.csv", "a") as file:
        file.write("more.png,trouser\n")
    with pytest.raises(DataError, match=r"no file 'more\.png'"):
        load_data(config, 8)
    assert relative("tables/more.png", Path("images")) == str(tmp_path / "tables" / "more.png")


def test_images_without_a_group_are_groups_of_their_own(clothes: Path, tmp_path: Path) -> None:
    rows_of(clothes).assign(patient=["1", ""] * 9).to_csv(tmp_path / "labels.csv", index=False)
    found = list_files(table(tmp_path / "labels.csv", clothes, group="patient"))
    assert len({file.group for file in found.files}) == 10


def test_what_is_passed_over_later_is_said_too(pictures: Pictures, tmp_path: Path) -> None:
    """Though the images, and so their cache, are the same."""
    Maker(tmp_path / "set", pictures).classes(each=6)
    config = DatasetConfig("imagefolder", str(tmp_path / "set"), cache=str(tmp_path / "cache"))
    assert load_data(config, 8).passed == ()
    (tmp_path / "set" / "trouser" / "notes.txt").write_text("two blue ones")
    for _ in range(2):
        assert [each.path.name for each in load_data(config, 8).passed] == ["notes.txt"]


def test_one_image_that_holds_no_numbers_does_not_blacken_the_others(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for number in range(6):
            np.save(tmp_path / name / f"{number}.npy", draw.random((8, 8)) * 100)
    np.save(tmp_path / "a" / "00.npy", np.full((8, 8), np.nan))
    data = load_data(folder(tmp_path, on_corrupt="skip"), 8)
    assert data.train.images.float().std() > 40
    assert [each.reason for each in data.passed] == ["it holds values that are not finite"]
