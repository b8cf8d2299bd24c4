"""Folders decoded once: the same images from the cache, whatever happens to it."""

import os
import resource
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from blocks import messages
from blocks.images.listing import list_folder
from search.config.schema import DatasetConfig, WorkersConfig
from search.data import files, hashes, resized, stamp, stored
from search.data.cache import cache_folder
from search.data.datasets import load_data
from search.data.decode import decode_files
from search.data.files import list_files
from search.data.hashes import content_hashes
from search.data.resized import splits_at
from search.data.splits import ImageData, divide
from search.errors import DataError
from search.evaluators.pool import WorkerPool
from tests.conftest import environment


@pytest.fixture
def root(tmp_path: Path, digits: Path) -> Path:
    """Real digits as files, so many that several threads decode them."""
    with np.load(digits) as arrays:
        images, labels = arrays["x_train"], arrays["y_train"]
    for label in range(3):
        folder = tmp_path / "images" / f"digit {label}"
        folder.mkdir(parents=True)
        for number, pixels in enumerate(images[labels == label][:30]):
            picture = Image.fromarray(pixels).resize((20 + number % 5, 24))
            picture.convert("RGB" if number % 3 else "L").save(folder / f"{number}.png")
    return tmp_path / "images"


@pytest.fixture(autouse=True)
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files of this second are trusted: the tests that change them change their sizes or times."""
    monkeypatch.setattr(hashes, "SETTLED_SECONDS", 0.0)
    monkeypatch.setattr(stored, "SETTLED_SECONDS", 0.0)


@pytest.fixture
def shown() -> Iterator[None]:
    """Messages are printed, as a command line prints them."""
    before = (list(messages.log.handlers), messages.log.level)
    messages.show()
    yield
    messages.log.handlers, messages.log.level = before


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many files were decoded, per load that decoded any."""
    counts: list[int] = []

    def counting(*arguments: object) -> object:
        counts.append(len(arguments[0]))  # type: ignore[arg-type]
        return decode_files(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(files, "decode_files", counting)
    return counts


def config(root: Path, cache: Path | None, **settings: object) -> DatasetConfig:
    return DatasetConfig(
        **{
            "name": "imagefolder",
            "root": str(root),
            "val_fraction": 0.2,
            "test_fraction": 0.2,
            "cache": None if cache is None else str(cache),
            **settings,
        }  # type: ignore[arg-type]
    )


def assert_same(ours: ImageData, theirs: ImageData) -> None:
    for part in ("train", "val", "test"):
        left, right = getattr(ours, part), getattr(theirs, part)
        assert torch.equal(left.images, right.images)
        assert torch.equal(left.labels, right.labels)
        assert left.images.stride() == right.images.stride()
    assert (ours.sha256, ours.classes, ours.passed, ours.notes) == (
        theirs.sha256,
        theirs.classes,
        theirs.passed,
        theirs.notes,
    )


def test_the_same_images_with_and_without(root: Path, tmp_path: Path, decoded: list[int]) -> None:
    cache = tmp_path / "cache"
    plain = load_data(config(root, None), 16)
    for _ in range(2):
        assert_same(load_data(config(root, cache), 16), plain)
    assert decoded == [90, 90]
    # Another size, other fractions, are other images.
    for other in (config(root, cache, image_size=9), config(root, cache, val_fraction=0.3)):
        assert_same(load_data(other, 16), load_data(replace(other, cache=None), 16))


def test_images_are_known_by_their_contents(
    root: Path, tmp_path: Path, decoded: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "cache"
    first = load_data(config(root, cache), 16)
    moved = tmp_path / "elsewhere"
    shutil.copytree(root, moved)  # other times, other inodes
    assert_same(load_data(config(moved, cache), 16), first)
    assert decoded == [90]
    hashed: list[Path] = []
    plain = hashes._hash
    monkeypatch.setattr(hashes, "_hash", lambda path: (hashed.append(path), plain(path))[1])
    load_data(config(root, cache), 16)
    assert not hashed
    # Two files of the same size and time change places.
    one, other = root / "digit 0" / "0.bmp", root / "digit 1" / "0.bmp"
    for path in (one, other):
        Image.open(path.with_suffix(".png")).save(path)
        path.with_suffix(".png").unlink()
        os.utime(path, (1e9, 1e9))
    before = load_data(config(root, cache), 16)
    assert sorted(hashed) == [one, other]
    one.rename(tmp_path / "kept")
    other.rename(one)
    (tmp_path / "kept").rename(other)
    after = load_data(config(root, cache), 16)
    assert after.sha256 != before.sha256
    assert_same(after, load_data(config(root, None), 16))


def test_a_file_of_this_moment_is_hashed_again(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hashes, "SETTLED_SECONDS", 3600.0)
    path = next(root.rglob("*.png"))
    names = [str(path.relative_to(root))]
    before = content_hashes(root, names, tmp_path)
    state = path.stat()
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert content_hashes(root, names, tmp_path) != before


@pytest.mark.parametrize("damage", ["cut", "flipped", "emptied", "header"])
def test_a_damaged_file_is_built_anew(
    root: Path, tmp_path: Path, decoded: list[int], damage: str
) -> None:
    cache = tmp_path / "cache"
    plain = load_data(config(root, cache), 16)
    kept = [split.images.clone() for split in (plain.train, plain.val, plain.test)]
    (path,) = cache.glob("*/images.bin")
    content = bytearray(path.read_bytes())
    if damage == "flipped":
        content[-1000] ^= 1
    if damage == "header":
        content[70] ^= 1
    cut = {"cut": len(content) // 2, "emptied": 0}.get(damage, len(content))
    path.unlink()  # the first load still maps it
    path.write_bytes(content[:cut])
    again = load_data(config(root, cache), 16)
    for split, images in zip((again.train, again.val, again.test), kept, strict=True):
        assert torch.equal(split.images, images)
    load_data(config(root, cache), 16)
    assert decoded == [90, 90]
    for manifest in cache.glob("folder-*.json"):
        manifest.write_text('{"version": 1, "files": {"a": 3}}')
    assert load_data(config(root, cache), 16).sha256 == plain.sha256


def test_corrupt_images_are_refused_or_skipped_as_without(root: Path, tmp_path: Path) -> None:
    victim = root / "digit 1" / "3.png"
    victim.write_bytes(victim.read_bytes()[:40])
    for _ in range(2):
        with pytest.raises(DataError, match=r"digit 1/3\.png.*on_corrupt=skip"):
            load_data(config(root, tmp_path / "cache"), 16)
    plain = load_data(config(root, None, on_corrupt="skip"), 16)
    for _ in range(2):
        again = load_data(config(root, tmp_path / "cache", on_corrupt="skip"), 16)
        assert [each.path for each in again.passed] == [victim]
        assert_same(again, plain)


@pytest.mark.parametrize("where", ["no folder", "full disk", "read only"])
def test_what_cannot_be_written_stays_in_memory(
    root: Path,
    tmp_path: Path,
    where: str,
    shown: None,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cache = tmp_path / "cache"
    plain = load_data(config(root, None), 16)
    if where == "no folder":
        cache.write_text("a file")
    elif where == "read only":
        load_data(config(root, cache), 16)
        monkeypatch.setattr(os, "access", lambda path, mode: False)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    capsys.readouterr()
    try:
        if where == "full disk":  # the kernel refuses what is longer
            resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, before[1]))
        assert_same(load_data(config(root, cache), 16), plain)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    said = capsys.readouterr().out
    assert said.count("\n") == (0 if where == "read only" else 1), said
    if where == "full disk":
        assert "images are not cached: cannot write" in said
        assert not [path for path in cache.glob("*/*") if path.is_file()]


LOAD = """
import sys
from search.config.schema import DatasetConfig
from search.data.datasets import load_data
config = DatasetConfig(name="imagefolder", root=sys.argv[1], cache=sys.argv[2],
                       val_fraction=0.2, test_fraction=0.2)
print(load_data(config, 16).sha256)
"""


def start(root: Path, cache: Path) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", LOAD, str(root), str(cache)],
        env=environment(),
        stdout=subprocess.PIPE,
        text=True,
    )


def test_of_two_at_once_one_builds(
    root: Path,
    tmp_path: Path,
    shown: None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Threads of one process: a lock on a folder opened twice keeps them apart as it does
    processes."""
    cache = tmp_path / "cache"
    built = []

    def slow(*arguments: object) -> object:
        built.append(arguments)
        time.sleep(0.5)
        return decode_files(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(files, "decode_files", slow)
    found: list[ImageData] = []
    threads = [
        threading.Thread(target=lambda: found.append(load_data(config(root, cache), 16)))
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(built) == 1
    assert len(found) == 3
    assert_same(found[0], found[1])
    assert "waiting for it" in capsys.readouterr().out


def test_killed_builders_leave_nothing_in_the_way(root: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    plain = load_data(config(root, None), 16)
    killed = start(root, cache)
    while not list(cache.glob("*/")) and killed.poll() is None:
        time.sleep(0.001)
    killed.kill()
    killed.communicate(timeout=120)
    (folder,) = [path for path in cache.iterdir() if path.is_dir() and path.name != "shards"]
    # And as one leaves it that was writing: half a temporary file, and no lock.
    (folder / "images.bin").unlink(missing_ok=True)
    (folder / ".images.0123abcd.bin").write_bytes(b"0" * 5000)
    both = [start(root, cache) for _ in range(2)]
    for process in both:
        said, _ = process.communicate(timeout=120)
        assert process.returncode == 0
        assert said.splitlines()[-1] == plain.sha256
    assert {entry.name for entry in folder.iterdir()} <= {"images.bin", "images.seal"}
    assert not list((cache / "shards").iterdir())


def mapped_files(job: str, data: ImageData) -> tuple[int, bool]:
    """How often this process maps a file of this name, and whether the images lie in it."""
    spans = [
        [int(end, 16) for end in line.split()[0].split("-")]
        for line in Path("/proc/self/maps").read_text().splitlines()
        if job in line
    ]
    places = [split.images.data_ptr() for split in (data.train, data.val, data.test)]
    return len(spans), all(any(a <= place < b for a, b in spans) for place in places)


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="Linux says what is mapped")
def test_workers_map_the_file_too(root: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    data = load_data(config(root, cache), 16)
    (path,) = cache.glob("*/images.bin")
    assert mapped_files(str(path), data) == (1, True)
    path.unlink()  # a worker that starts later needs no name
    with WorkerPool(partial(mapped_files, data=data), WorkersConfig(1, 1)) as pool:
        assert pool.evaluate(str(path)).result(timeout=120) == (1, True)


def test_where_it_lies(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder("auto") == tmp_path / "compound-nas"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder("auto") == Path.home() / ".cache" / "compound-nas"
    assert cache_folder("~/x") == Path.home() / "x"
    assert cache_folder(None) is None


def test_folders_are_listed_in_one_order(root: Path) -> None:
    found = list_folder(root, DataError).files
    assert [file.path for file in found] == sorted(file.path for file in found)


def test_a_disk_that_is_too_small_is_said_first(
    root: Path, tmp_path: Path, decoded: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "LARGE", 1)
    load_data(config(root, tmp_path / "cache"), 16)
    state = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: state._replace(free=1000))
    with pytest.raises(DataError, match=r"90 images at 48 px need .* free: dataset\.cache=FOLDER"):
        load_data(config(root, tmp_path / "cache", image_size=48), 16)
    assert len(decoded) == 1


def test_what_was_decoded_before_a_kill_is_not_decoded_again(
    root: Path, tmp_path: Path, decoded: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "SHARD", 40)
    plain = load_data(config(root, None), 16)
    assert decoded == [40, 40, 10]
    cache = tmp_path / "cache"

    def full(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(files, "divide", full)  # after the last shard
    with pytest.raises(KeyboardInterrupt):
        load_data(config(root, cache), 16)
    monkeypatch.setattr(files, "divide", divide)
    (last,) = [path for path in (cache / "shards").glob("*.bin") if path.stat().st_size < 40_000]
    last.unlink()
    decoded.clear()
    assert_same(load_data(config(root, cache), 16), plain)
    assert decoded == [10]
    assert not list((cache / "shards").iterdir())


def test_many_images_are_mapped_at_one_resolution_too(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = load_data(config(root, tmp_path / "cache"), 16)
    in_memory = splits_at(data, 16)
    monkeypatch.setattr(resized, "MAPPED_BYTES", 1)
    for _ in range(2):
        for ours, theirs in zip(splits_at(data, 16), in_memory, strict=True):
            assert torch.equal(ours.images, theirs.images)
            assert ours.images.stride() == theirs.images.stride()
    assert len(list((tmp_path / "cache").glob("*/at-16-*.bin"))) == 1


def test_an_unchanged_folder_is_not_listed(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = []

    def counting(*arguments: object) -> object:
        listed.append(arguments)
        return list_files(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(files, "list_files", counting)
    monkeypatch.setattr(stamp, "SETTLED_SECONDS", 0.0)
    first = load_data(config(root, tmp_path / "cache"), 16)
    assert_same(load_data(config(root, tmp_path / "cache"), 16), first)
    assert len(listed) == 1
    # A file that is renamed, one whose time alone changes, and one more.
    (root / "digit 1" / "0.png").rename(root / "digit 1" / "new.png")
    load_data(config(root, tmp_path / "cache"), 16)
    os.utime(root / "digit 1" / "new.png", (1, 1))
    load_data(config(root, tmp_path / "cache"), 16)
    shutil.copy(root / "digit 1" / "new.png", root / "digit 2" / "more.png")
    assert sum(map(len, splits_at(load_data(config(root, tmp_path / "cache"), 16), 16))) == 91
    assert len(listed) == 4
