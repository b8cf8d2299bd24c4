"""Image files that are read anew in each epoch train the network that decoded ones do."""

import logging
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from blocks.arch import Size
from blocks.weights.read import read_state
from scaling.compound import ScalingError
from scaling.training import images as images_module
from scaling.training.loop import Unwatched
from scaling.training.result import Trained
from scaling.training.run import train
from scaling.training.settings import make_train
from search.config.schema import DatasetConfig
from search.data import files as files_module
from search.data.batches import prepare
from search.data.datasets import load_data
from search.data.streamed import Names, stream_files
from search.errors import DataError

NETWORK = "r12-i3-s8-[ir_r1_k3_s2_e3_c16]-h32"
Go = Callable[..., Trained]
ONE_BY_ONE = {"name": "timm", "epochs": 2, "batch_size": 32, "lr": 0.005}
WHOLE = {"name": "small", "epochs": 2, "batch_size": 32, "mixup": 0.2, "start_resolution": 0.5}


@pytest.fixture(autouse=True)
def lines(caplog: pytest.LogCaptureFixture) -> None:
    """What is said is kept."""
    caplog.set_level(logging.INFO, "compound_nas")


@pytest.fixture
def go(photos: Path, tmp_path: Path) -> Go:
    """Train on the photos; each training in a study of its own."""

    def run(name: str, watcher: Any = None, **settings: Any) -> Trained:
        dataset = {"name": "imagefolder", "root": str(photos), "cache": str(tmp_path / "cache")}
        dataset |= settings.pop("dataset", {})
        given = {
            "study": name, "results_dir": str(tmp_path / "results"), "network": NETWORK,
            "dataset": dataset, "device": "cpu", "precision": "fp32", "kernels": "torch",
            "threads": 1, "loaders": 0, "recipe": WHOLE, **settings,
        }  # fmt: skip
        [trained] = train(make_train(given), watcher).trained
        return trained

    return run


def same(one: Trained, other: Trained) -> bool:
    first, second = (read_state(each.folder / "model.safetensors") for each in (one, other))
    equal = all(torch.equal(first[name], second[name]) for name in first)
    return equal and first.keys() == second.keys() and one.test == other.test


@pytest.mark.parametrize("recipe", [WHOLE, ONE_BY_ONE], ids=["whole batches", "one by one"])
def test_the_network_is_that_of_the_cache(
    go: Go, recipe: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    cached = go("cached", recipe=recipe)
    assert "in memory, read from the cache" in caplog.text
    caplog.clear()
    streamed = go("streamed", recipe=recipe, stream=True, loaders=2)
    said = caplog.text
    assert "streamed from their files in each epoch (stream=true)" in said
    assert "decoded" in said
    assert "by 2 processes beside this" in said
    assert same(cached, streamed)
    assert (streamed.folder / "worst.png").read_bytes() == (
        cached.folder / "worst.png"
    ).read_bytes()


def test_cut_off_it_goes_on_to_the_same_network(go: Go, caplog: pytest.LogCaptureFixture) -> None:
    class CutOff(Unwatched):
        def step(self, done: int) -> None:
            if done == 4:
                raise KeyboardInterrupt

    whole = go("whole", stream=True)
    with pytest.raises(KeyboardInterrupt):
        go("cut", CutOff(), stream=True, checkpoint_minutes=0)
    caplog.clear()
    assert same(whole, go("cut", stream=True))
    said = caplog.text
    assert "goes on from step" in said
    assert "to hash them" not in said  # what the files are was kept


def test_a_file_that_is_lost_mid_epoch(
    go: Go, photos: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Damages(Unwatched):
        def step(self, done: int) -> None:
            if done == 1:
                lost.write_bytes(lost.read_bytes()[:100])

    data = load_data(DatasetConfig(name="imagefolder", root=str(photos), cache=None), 12)
    streamed = _streamed(photos)
    assert streamed.sha256 == data.sha256
    files = streamed.train.files
    assert files is not None
    lost = Path(files.names[int(files.rows[0])])
    whole = lost.read_bytes()
    with pytest.raises(DataError, match=r"\.jpg.*; once it can be read the same command goes on"):
        go("refused", Damages(), stream=True)
    lost.write_bytes(whole)
    skips = {"on_corrupt": "skip"}
    caplog.clear()
    trained = go("skipped", Damages(), stream=True, loaders=1, dataset=skips)
    said = caplog.text
    assert str(lost) in said
    assert said.count("another image of its batch stands in for it") >= 1
    assert trained.test["accuracy"]["value"] >= 0
    # What was damaged before is left out, as from the cache.
    caplog.clear()
    assert same(
        go("later", stream=True, dataset=skips), go("later_cached", dataset=skips, stream=False)
    )


def _streamed(photos: Path, size: int = 12) -> Any:
    config = DatasetConfig(name="imagefolder", root=str(photos))
    seen = Size(size, size)
    return stream_files(config, seen.scaled(1.5), seen, photos.parent / "index", "")


def test_splits_moments_and_pixels_are_those_in_memory(photos: Path) -> None:
    config = DatasetConfig(name="imagefolder", root=str(photos), cache=None)
    held, streamed = load_data(config, 12), _streamed(photos)
    assert (held.sha256, held.classes) == (streamed.sha256, streamed.classes)
    assert held.reading == streamed.reading
    for size in (12, 18, 7):  # summed up before; as it is decoded; read once more
        own, others = prepare(held, size), prepare(streamed, size)
        assert torch.equal(own.mean, others.mean)
        assert torch.equal(own.std, others.std)
        for part in ("train", "val", "test"):
            split, other = getattr(own, part), getattr(others, part)
            assert split.images.shape == other.images.shape
            assert torch.equal(split.labels, other.labels)
            assert torch.equal(split.image(3), other.image(3))


def test_it_is_chosen_where_there_is_no_room(
    go: Go, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    cached = go("cached", stream=False)
    monkeypatch.setattr(files_module, "LARGE", 1)
    full = SimpleNamespace(disk_usage=lambda _: SimpleNamespace(free=1000))
    monkeypatch.setattr(files_module, "shutil", full)
    uncached = {"cache": str(Path(cached.folder).parents[3] / "full")}
    caplog.clear()
    assert same(cached, go("no_disk", dataset=uncached))
    said = caplog.text
    assert "streamed from their files in each epoch (180 images at 18 px need" in said
    with pytest.raises(DataError, match=r"are free: dataset\.cache=FOLDER names another disk"):
        go("refused", dataset=uncached, stream=False)
    monkeypatch.setattr(images_module, "available_bytes", lambda: 10**5)
    caplog.clear()
    assert same(cached, go("no_memory", dataset={"cache": None}))
    said = caplog.text
    assert "GB are free, and dataset.cache=null)" in said


def test_arrays_are_not_streamed(digits: Path, go: Go) -> None:
    with pytest.raises(ScalingError, match="stream=true: the images of dataset=npz are no files"):
        go("arrays", stream=True, dataset={"name": "npz", "root": str(digits)})


def test_names_are_kept_as_they_are() -> None:
    names = Names(["a/b.jpg", "", "é\udcff.png"])
    assert [names[number] for number in range(len(names))] == ["a/b.jpg", "", "é\udcff.png"]
