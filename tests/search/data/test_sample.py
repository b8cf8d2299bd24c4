"""A part of many files: what it says of all of them, and a plan that is made of it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from blocks.arch import square
from search.assess.plan import plan
from search.config.face import config_from
from search.config.schema import DatasetConfig
from search.data import hashes, stamp, stored
from search.data import sample as module
from search.data.datasets import load_data
from search.data.sample import sample


@pytest.fixture
def root(tmp_path: Path, digits: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """150 files, in three classes of 100, 40 and 10: many here."""
    monkeypatch.setattr(module, "MANY", 100)
    monkeypatch.setattr(module, "TAKEN", 30)
    monkeypatch.setattr(module, "OF_EACH", 8)
    for trusting in (hashes, stamp, stored):  # files of this second
        monkeypatch.setattr(trusting, "SETTLED_SECONDS", 0.0)
    with np.load(digits) as arrays:
        images, labels = arrays["x_train"], arrays["y_train"]
    for label, number in enumerate((100, 40, 10)):
        folder = tmp_path / "images" / f"digit {label}"
        folder.mkdir(parents=True)
        for place, pixels in enumerate(images[labels == label][:number]):
            Image.fromarray(pixels).resize((20, 20)).save(folder / f"{place:03}.png")
    return tmp_path / "images"


def test_a_part_is_of_every_class_and_says_how_many_there_are(root: Path, tmp_path: Path) -> None:
    config = DatasetConfig(name="imagefolder", root=str(root), cache=str(tmp_path / "cache"))
    part = sample(config, square(8), several=False)
    assert part is not None
    splits = (part.data.train, part.data.val, part.data.test)
    labels = np.concatenate([split.labels.numpy() for split in splits])
    assert np.bincount(labels).tolist() == [20, 8, 8]
    assert part.files == 150
    assert sum(part.of_all(len(split)) for split in splits) == pytest.approx(150, abs=2)
    assert part.cache_bytes == 150 * 12 * 12  # grey, 1.5 times 8 pixels
    assert part.free_bytes is not None
    assert "it fits" in part.describe()
    assert "it does not fit" in replace(part, free_bytes=1).describe()
    assert "of memory (dataset.cache=null)" in replace(part, free_bytes=None).describe()
    assert not (tmp_path / "cache").exists()  # nothing is left on disk
    load_data(config, 8)
    assert sample(config, square(8), several=False) is None  # they are there already


def test_few_images_and_arrays_are_read_whole(digits: Path, root: Path) -> None:
    config = DatasetConfig(name="imagefolder", root=str(root / "digit 1"), cache=None)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "MANY", 150)
        assert sample(replace(config, root=str(root)), square(8), several=False) is None
    assert sample(DatasetConfig(root=str(digits)), square(8), several=False) is None


def test_a_plan_of_many_images_decodes_a_part(root: Path, tmp_path: Path) -> None:
    config = config_from(
        dataset={"name": "imagefolder", "root": str(root), "cache": str(tmp_path / "cache")},
        proxy={"resolution": 8, "kernels": "torch"},
        search={"references": []},
        workers={"count": 1},
        budget={"target": "100k"},
    )
    found = plan(config)
    assert found.part is not None
    assert found.steps[0] == ("reading and decoding, once", found.part.seconds)
    assert found.val_images == pytest.approx(0.15 * 150, abs=6)
    train = found.part.of_all(len(found.part.data.train))
    assert found.config.proxy.epochs == -(-600 // (train // found.config.proxy.batch_size))
