"""A look at a folder: every damaged file, the files behind the rows, what is written and said."""

import csv
import importlib
import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from blocks.arch import square
from blocks.images.walk import reason_counts
from search import look_at
from search.config.schema import RunConfig
from search.data.decode import decode_file
from search.errors import DataError, StudyError
from search.look.source import read_all, row_names
from search.record.folder import StudyFolder
from tests.conftest import Refuse
from tests.search.config.test_checks import config_of


def settings(pets: Path, *more: str) -> list[str]:
    return [
        "study=pets", "dataset=imagefolder", f"dataset.root={pets}", "proxy.resolution=16",
        f"results_dir={pets.parent / 'results'}", *more,
    ]  # fmt: skip


@pytest.fixture
def config(pets: Path) -> RunConfig:
    return config_of(*settings(pets))


def test_all_damaged_files_are_listed_not_only_the_first(config: RunConfig, pets: Path) -> None:
    found = read_all(config)
    assert found.refused
    assert [str(each.path) for each in found.data.passed] == [
        str(pets / "bag" / "words.jpg"),
        str(pets / "boot" / "cut.png"),
    ]
    assert sum(reason_counts(found.data.passed).values()) == 2
    assert not any(str(pets) in reason for reason in reason_counts(found.data.passed))
    skipped = read_all(config_of(*settings(pets, "dataset.on_corrupt=skip")))
    assert not skipped.refused
    assert skipped.data.passed == found.data.passed


@pytest.mark.parametrize("cache", ["auto", "null"])
def test_each_row_is_of_the_file_that_it_is_said_to_be(pets: Path, cache: str) -> None:
    config = config_of(*settings(pets, f"dataset.cache={cache}"))
    data = read_all(config).data
    names = row_names(config, data)
    for part in ("train", "val", "test"):
        split = getattr(data, part)
        assert len(names[part]) == len(split)
        for name, image, label in zip(names[part], split.images, split.labels, strict=True):
            assert Path(name).parent.name == data.classes[label]
            pixels = decode_file(Path(name), square(24))[0]
            np.testing.assert_array_equal(image.permute(1, 2, 0).numpy(), pixels)


def test_a_folder_of_nothing_readable_is_refused(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / "pets" / name).mkdir(parents=True)
        (tmp_path / "pets" / name / "1.png").write_text("no image")
    with pytest.raises(DataError, match=r"cannot identify image file"):
        read_all(config_of(*settings(tmp_path / "pets")))


def test_from_python(pets: Path) -> None:
    found = look_at(
        dataset={"name": "imagefolder", "root": str(pets), "on_corrupt": "skip"},
        proxy={"resolution": 16},
        search={"probe": False},
    )
    assert found.counts["all"].to_dict() == {"bag": 15, "boot": 60}
    assert found.probes == ()
    assert len(found.mean) == len(found.std) == 1
    assert found.largest_class[0] == "boot"
    assert found.imbalance > 3
    assert set(found.suggestions) == {"search.metric", "proxy.class_weights"}


def run(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    importlib.import_module("search.__main__").main(["data", *arguments])
    return capsys.readouterr().out


def test_the_command_shows_writes_and_says_how_to_go_on(
    pets: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # The same boot again in another format: wherever both fall, they are nearly the same.
    Image.open(pets / "boot" / "02.png").resize((56, 56)).save(pets / "boot" / "again.png")
    arguments = settings(pets, "dataset.val_fraction=0.3", "dataset.test_fraction=0.3")
    shown = run(arguments, capsys)
    assert "files         2 are in no split; a search stops at the first" in shown
    assert str(pets / "boot" / "cut.png") in shown
    assert "networks see them at proxy.resolution=16" in shown
    assert "always answering boot" in shown
    assert "linear probe on raw pixels" in shown
    asked = ["dataset.on_corrupt=skip", "search.metric=balanced_accuracy"]
    asked.append("proxy.class_weights=balanced")
    last = shown.strip().splitlines()[-1]
    assert last.strip() == shlex.join(["python", "-m", "search", "run", *arguments, *asked])
    long = [line for line in shown.splitlines() if len(line) > 80]
    assert all(str(pets.parent) in line for line in long)

    folder = pets.parent / "results" / "pets" / "look"
    names = {"data.png", "augment.png", "classes.csv", "duplicates.csv", "skipped.csv"}
    assert {path.name for path in folder.iterdir()} == names
    with open(folder / "classes.csv", encoding="utf-8") as file:
        counted = {row["class"]: int(row["all"]) for row in csv.DictReader(file)}
    assert counted == {"bag": 15, "boot": 61}
    written = {path.name: path.read_bytes() for path in folder.iterdir()}
    (folder / "data-2.png").write_bytes(b"of an earlier look")
    run(arguments, capsys)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == written


def test_a_folder_that_was_looked_at_is_no_study(config: RunConfig) -> None:
    folder = StudyFolder(config.results_dir, config.study)
    (folder / "look").mkdir(parents=True)
    with pytest.raises(StudyError, match="no study 'pets'"):
        folder.require()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("dataset=imagefolder", "dataset.root is missing"),
        ("--weights b0.pt", "expected --arch NAME --weights FILE"),
        ("--weights b0.pt --arch nonsuch", "unknown network 'nonsuch'"),
        ("--weights b0.pt --arch efficientnet_b0", "cannot read b0.pt"),
        ("--num-classes many", "argument --num-classes: invalid int value: 'many'"),
    ],
)
def test_bad_input_is_one_line(refuse: Refuse, given: str, message: str) -> None:
    assert message in refuse("search", "data", *given.split())
