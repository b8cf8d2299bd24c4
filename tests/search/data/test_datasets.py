"""Real images in, frozen splits out; every way a folder can be wrong."""

import gzip
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from search.config.schema import DatasetConfig
from search.data.arrays import FASHION_CLASSES
from search.data.batches import prepare
from search.data.datasets import load_data
from search.data.resized import resize
from search.data.splits import ImageData
from search.errors import DataError


@pytest.fixture(scope="module")
def fashion() -> ImageData:
    return load_data(DatasetConfig(name="fashion_mnist"), 28)


def write_folder(root: Path, digits: Path, per_class: int = 12, classes: int = 3) -> Path:
    """Real digits as image files of several formats, sizes and modes."""
    with np.load(digits) as arrays:
        images, labels = arrays["x_train"], arrays["y_train"]
    for label in range(classes):
        folder = root / f"digit {label}"
        folder.mkdir(parents=True)
        for number, pixels in enumerate(images[labels == label][:per_class]):
            picture = Image.fromarray(pixels).resize((20 + number, 31))
            if number % 3 == 1:
                picture = picture.convert("RGB")
            if number % 3 == 2:
                picture = picture.convert("P")
            picture.save(folder / f"{number}.{'png' if number % 2 else 'bmp'}")
    return root


def folder_config(root: Path, **settings: object) -> DatasetConfig:
    return DatasetConfig(name="imagefolder", root=str(root), val_fraction=0.2, test_fraction=0.2,
                         **settings)  # type: ignore[arg-type]  # fmt: skip


def test_embedded_images(fashion: ImageData) -> None:
    assert fashion.classes == FASHION_CLASSES
    assert len(fashion.train) + len(fashion.val) == 6000
    assert len(fashion.test) == 2000
    assert 900 <= len(fashion.val) <= 1100
    assert fashion.in_channels == 1
    assert set(fashion.val.labels.tolist()) == set(range(10))


def test_splits_are_frozen_and_share_no_image(fashion: ImageData) -> None:
    again = load_data(DatasetConfig(name="fashion_mnist"), 32)
    assert again.sha256 == fashion.sha256
    assert torch.equal(again.val.images, fashion.val.images)
    train = {image.numpy().tobytes() for image in fashion.train.images}
    assert not any(image.numpy().tobytes() in train for image in fashion.val.images)


def test_a_split_does_not_depend_on_the_order_of_the_images(digits: Path, tmp_path: Path) -> None:
    with np.load(digits) as arrays:
        images, labels = arrays["x_train"], arrays["y_train"]
    order = np.random.default_rng(0).permutation(len(labels))
    shuffled = tmp_path / "shuffled.npz"
    np.savez(shuffled, x_train=images[order], y_train=labels[order])
    plain = tmp_path / "plain.npz"
    np.savez(plain, x_train=images, y_train=labels)
    first, second = (load_data(DatasetConfig(root=str(p)), 8) for p in (plain, shuffled))
    assert first.sha256 == second.sha256
    assert len(first.val) == len(second.val)


def test_image_folder(digits: Path, tmp_path: Path) -> None:
    data = load_data(folder_config(write_folder(tmp_path / "images", digits)), 16)
    assert data.classes == ("digit 0", "digit 1", "digit 2")
    assert data.in_channels == 3  # one RGB image makes all RGB
    assert data.train.images.shape[1:] == (3, 24, 24)  # 1.5 × the resolution
    assert len(data.train) + len(data.val) + len(data.test) == 36
    for split in (data.train, data.val, data.test):
        assert set(split.labels.tolist()) == {0, 1, 2}


def test_named_splits_are_taken_as_they_are(digits: Path, tmp_path: Path) -> None:
    for part, per_class in (("train", 8), ("val", 3), ("test", 2)):
        write_folder(tmp_path / "set" / part, digits, per_class)
    data = load_data(folder_config(tmp_path / "set"), 16)
    assert (len(data.train), len(data.val), len(data.test)) == (24, 9, 6)


def test_grey_folders_stay_grey(digits: Path, tmp_path: Path) -> None:
    root = write_folder(tmp_path / "grey", digits)
    for path in root.rglob("*.*"):
        Image.open(path).convert("L").save(path)
    assert load_data(folder_config(root), 16).in_channels == 1


def test_corrupt_images_are_named_or_skipped(digits: Path, tmp_path: Path) -> None:
    root = write_folder(tmp_path / "images", digits)
    victim = root / "digit 1" / "3.png"
    victim.write_bytes(victim.read_bytes()[:40])
    with pytest.raises(DataError, match=r"digit 1/3\.png.*on_corrupt=skip"):
        load_data(folder_config(root), 16)
    data = load_data(folder_config(root, on_corrupt="skip"), 16)
    assert [(each.path, each.reason) for each in data.passed] == [
        (victim, "cannot identify image file")
    ]
    assert len(data.train) + len(data.val) + len(data.test) == 35


@pytest.mark.parametrize(
    ("setting", "black", "white"),
    [("auto", 0, 255), ("type", 4, 16), ("0..4095", 64, 255), ("1000..2000", 6, 255)],
)
def test_twelve_bits_in_sixteen(
    setting: str, black: int, white: int, digits: Path, tmp_path: Path
) -> None:
    """Values of 1,024 to 4,095 in all: by the images' own range, the type's, and given ones."""
    root = write_folder(tmp_path / "deep", digits)
    ramp = np.linspace(1024, 4095, 48 * 48).reshape(48, 48).astype(np.uint16)
    for number, path in enumerate(sorted(root.rglob("*.*"))):
        path.unlink()
        ramp[24, 24] = 2000 + number  # no two are the same
        Image.fromarray(ramp).save(path.with_suffix(".png"))
    data = load_data(folder_config(root, image_size=48, range=setting), 16)
    assert data.in_channels == 1
    assert (data.train.images.min(), data.train.images.max()) == (black, white)
    assert bool(data.notes) == (setting == "auto")
    # Floating point has no range of its own but 0 to 1.
    Image.fromarray(ramp.astype(np.float32)).save(path.with_suffix(".tif"))
    path.with_suffix(".png").unlink()
    if setting == "type":
        with pytest.raises(DataError, match=r"values go from 1024 to 4095, beyond 0 to 1"):
            load_data(folder_config(root, range=setting), 16)
    else:
        load_data(folder_config(root, range=setting), 16)


def test_equal_images_stay_together_and_every_part_is_filled(tmp_path: Path) -> None:
    """Three different images a class, one of them twice, for every way their hashes may fall."""
    draw = np.random.default_rng(0)
    for _ in range(40):
        images, labels = [], []
        for label in range(2):
            different = draw.integers(0, 256, (3, 4, 4), dtype=np.uint8)
            images += [different[0], *different]
            labels += [label] * 4
        np.savez(tmp_path / "few.npz", x_train=np.stack(images), y_train=np.array(labels))
        data = load_data(DatasetConfig(root=str(tmp_path / "few.npz")), 8)
        parts = [data.train, data.val, data.test]
        assert all(set(part.labels.tolist()) == {0, 1} for part in parts)
        held = [{image.numpy().tobytes() for image in part.images} for part in parts]
        assert sum(map(len, held)) == len(held[0] | held[1] | held[2]) == 6


def test_wrong_folders(digits: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is not a folder"):
        load_data(folder_config(tmp_path / "nowhere"), 16)
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(DataError, match="holds no class folders"):
        load_data(folder_config(empty), 16)
    (empty / "cats").mkdir()
    with pytest.raises(DataError, match=r"class 'cats' of .* holds no readable image"):
        load_data(folder_config(empty), 16)
    one = write_folder(tmp_path / "one", digits, classes=1)
    with pytest.raises(DataError, match="one class only, 'digit 0'"):
        load_data(folder_config(one), 16)
    few = write_folder(tmp_path / "few", digits, per_class=2)
    with pytest.raises(DataError, match=r"class 'digit 0' .* 2 images to split into train"):
        load_data(folder_config(few), 16)
    set_ = tmp_path / "set"
    write_folder(set_ / "train", digits, 8, classes=2)
    write_folder(set_ / "val", digits, 3, classes=3)
    with pytest.raises(DataError, match=r"'digit 2', which .*train has not"):
        load_data(folder_config(set_), 16)


def test_wrong_arrays(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"

    def attempt(**arrays: object) -> None:
        np.savez(path, **arrays)  # type: ignore[arg-type]
        load_data(DatasetConfig(root=str(path)), 8)

    images = np.zeros((4, 8, 8), np.uint8)
    with pytest.raises(DataError, match="lacks array 'y_train'"):
        attempt(x_train=images)
    with pytest.raises(DataError, match="x_train is float64"):
        attempt(x_train=images.astype(float), y_train=np.arange(4))
    with pytest.raises(DataError, match="4 train images but 3 labels"):
        attempt(x_train=images, y_train=np.arange(3))
    with pytest.raises(DataError, match="y_train is <U1 4; expected a vector"):
        attempt(x_train=images, y_train=np.array(list("abcd")))
    with pytest.raises(DataError, match="y_train goes up to 9"):
        attempt(x_train=images, y_train=np.array([0, 1, 2, 9]))
    with pytest.raises(DataError, match="differ in channels"):
        attempt(
            x_train=images,
            y_train=np.arange(4),
            y_test=np.arange(4),
            x_test=images[..., None][..., [0, 0, 0]],
        )
    path.write_bytes(b"PK\x03\x04 not a zip")
    with pytest.raises(DataError, match="cannot read"):
        load_data(DatasetConfig(root=str(path)), 8)
    with pytest.raises(DataError, match=r"dataset\.root is missing"):
        load_data(DatasetConfig(name="cifar10"), 8)
    with pytest.raises(DataError, match=r"cannot read dataset cifar10 .*dataset.download=true"):
        load_data(DatasetConfig(name="cifar10", root=str(tmp_path)), 8)


@pytest.mark.parametrize("packed", [False, True])
def test_idx_files(fashion: ImageData, tmp_path: Path, packed: bool) -> None:
    def write(name: str, array: np.ndarray) -> None:
        header = bytes([0, 0, 8, array.ndim])
        header += b"".join(side.to_bytes(4, "big") for side in array.shape)
        content = header + array.astype(np.uint8).tobytes()
        if packed:
            (tmp_path / f"{name}.gz").write_bytes(gzip.compress(content))
        else:
            (tmp_path / name).write_bytes(content)

    for prefix, split in (("train", fashion.train), ("t10k", fashion.test)):
        write(f"{prefix}-images-idx3-ubyte", split.images[:, 0].numpy())
        write(f"{prefix}-labels-idx1-ubyte", split.labels.numpy())
    config = DatasetConfig(name="fashion_mnist_full", root=str(tmp_path))
    data = load_data(config, 28)
    assert len(data.train) + len(data.val) == len(fashion.train)
    assert torch.equal(data.test.images, fashion.test.images)
    for path in tmp_path.iterdir():
        path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(DataError, match=r"cannot read .*train-images-idx3-ubyte"):
        load_data(config, 28)


def test_cifar_through_torchvision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files in CIFAR-10's own format; only the published MD5 sums are replaced by theirs."""
    import hashlib
    import pickle

    from torchvision.datasets import CIFAR10

    folder = tmp_path / CIFAR10.base_folder
    folder.mkdir()
    draw = np.random.default_rng(0)

    def write(name: str, content: dict[str, object]) -> list[str]:
        (folder / name).write_bytes(pickle.dumps(content))
        return [name, hashlib.md5((folder / name).read_bytes()).hexdigest()]

    def batch(rows: int) -> dict[str, object]:
        pixels = draw.integers(0, 256, (rows, 3072), dtype=np.uint8)
        return {"data": pixels, "labels": [row % 10 for row in range(rows)]}

    names = [f"class{number}" for number in range(10)]
    monkeypatch.setattr(CIFAR10, "train_list", [write("data_batch_1", batch(200))])
    monkeypatch.setattr(CIFAR10, "test_list", [write("test_batch", batch(50))])
    meta = write("batches.meta", {"label_names": names})
    monkeypatch.setattr(
        CIFAR10, "meta", {"filename": meta[0], "key": "label_names", "md5": meta[1]}
    )
    data = load_data(DatasetConfig(name="cifar10", root=str(tmp_path)), 32)
    assert data.classes == tuple(names)
    assert data.train.images.shape[1:] == (3, 32, 32)
    assert (len(data.train) + len(data.val), len(data.test)) == (200, 50)


def test_resize_and_normalise(fashion: ImageData) -> None:
    assert resize(fashion.train.images[:5], 28) is not None
    assert resize(fashion.train.images[:5], 33).shape == (5, 1, 33, 33)
    flat = torch.full((2, 3, 10, 10), 77, dtype=torch.uint8)
    assert resize(flat, 17).unique().tolist() == [77]
    batches = prepare(fashion, 28)
    normal = batches.normalise(batches.train.images)
    assert normal.mean().item() == pytest.approx(0, abs=1e-3)
    assert normal.std().item() == pytest.approx(1, abs=1e-3)
    assert prepare(fashion, 28) is batches
