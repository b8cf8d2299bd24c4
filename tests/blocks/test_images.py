"""Images for checking and calibrating: read, resized, cropped, labelled, normalised."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from blocks.arch import ArchSpec, parse_arch, square
from blocks.errors import ExportError
from blocks.images.batches import batch_size
from blocks.images.decode import Pixels
from blocks.images.folders import Labels
from blocks.images.inputs import decode_at
from blocks.images.read import IMAGENET_MEAN, IMAGENET_STD, read_images
from blocks.images.reading import USUAL, Reading

GREY = parse_arch("r8-i1-s8-[ds_r1_k3_s1_e1_c8]-h8")
RGB = parse_arch("r8-s8-[ds_r1_k3_s1_e1_c8]-h8")
PLAIN = {"mean": (0.0,), "std": (1.0,)}
RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)


def save(path: Path, colour: tuple[int, ...], size: tuple[int, int] = (8, 8)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB" if len(colour) == 3 else "L", size, colour).save(path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Classes apple (red, green) and pear (blue), and what is not of them."""
    save(tmp_path / "set" / "pear" / "a.png", BLUE)
    save(tmp_path / "set" / "apple" / "b.png", GREEN)
    save(tmp_path / "set" / "apple" / "a.png", RED)
    (tmp_path / "set" / "apple" / "notes.txt").touch()
    save(tmp_path / "set" / ".thumbnails" / "a.png", RED)
    return tmp_path / "set"


def test_the_default_is_fashion_mnist_normalised() -> None:
    arch = parse_arch("r28-i1-s8-[ds_r1_k3_s1_e1_c8]-h8")
    images = read_images(None, arch, 10)
    assert images.where == "the embedded Fashion-MNIST (x_test)"
    assert len(images) == 2000
    assert images.labels is not None
    assert images.labels.bincount().tolist() == [200] * 10
    loaded = images.load(50)
    assert loaded.shape == (50, 1, 28, 28)
    assert loaded.dtype == torch.float32
    assert (loaded.min(), loaded.max()) == (-1, 1)  # (0 and 1 less 0.5) over 0.5
    assert len(read_images(None, arch, 10, part="train")) == 6000


def test_the_default_has_no_labels_for_other_classes() -> None:
    assert read_images(None, GREY, 1000).labels is None


def test_batches_are_all_images_in_order() -> None:
    images = read_images(None, RGB, 10)
    batches = list(images.batches())
    assert [len(batch) for batch in batches] == [256] * 7 + [208]
    assert torch.equal(torch.cat(batches), images.load())


def test_large_images_come_one_at_a_time() -> None:
    assert tuple(batch_size(square(side)) for side in (28, 224, 4000)) == (256, 20, 1)


def test_taken_images_keep_their_labels() -> None:
    images = read_images(None, GREY, 10)
    assert images.labels is not None
    some = images.take([7, 3])
    assert some.labels is not None
    assert some.labels.tolist() == images.labels[[7, 3]].tolist()
    assert torch.equal(some.load(), images.load(8)[[7, 3]])
    assert torch.equal(some.take([1]).load(), images.load(4)[3:])
    mixed = images.shuffled(5)
    assert sorted(mixed.numbers) == list(images.numbers)
    assert mixed.numbers == images.shuffled(5).numbers != images.shuffled(6).numbers


def test_grey_is_repeated_and_normalised_by_imagenet(tmp_path: Path) -> None:
    pixels = np.full((2, 8, 8), 51, np.uint8)
    np.savez(tmp_path / "grey.npz", x_test=pixels)
    image = read_images(tmp_path / "grey.npz", RGB, 10).load(1)
    expected = [(0.2 - m) / s for m, s in zip(IMAGENET_MEAN, IMAGENET_STD, strict=True)]
    for channel, value in enumerate(expected):
        assert image[0, channel].unique().item() == pytest.approx(value, abs=1e-6)


def test_rgb_becomes_grey_by_luminance(folder: Path) -> None:
    images = read_images(folder, GREY, 2, **PLAIN).load()
    assert images[:, 0, 4, 4].tolist() == pytest.approx([0.299, 0.587, 0.114], abs=1e-6)


def test_arrays_are_resized_whole(tmp_path: Path) -> None:
    pixels = np.zeros((1, 16, 32, 3), np.uint8)
    pixels[:, :, 16:] = 200
    np.savez(tmp_path / "wide.npz", images=pixels, labels=np.array([4]))
    images = read_images(tmp_path / "wide.npz", RGB, 5, **PLAIN)
    assert images.labels is not None
    assert images.labels.tolist() == [4]
    row = images.load()[0, 0, 3] * 255
    assert row[:3].tolist() == pytest.approx([0, 0, 0])
    assert row[5:].tolist() == pytest.approx([200] * 3)


@pytest.mark.parametrize(
    ("part", "names", "found"),
    [
        ("test", ("x_train", "x_test"), "x_test"),
        ("train", ("x_train", "x_test"), "x_train"),
        ("test", ("x_train",), "x_train"),
        ("train", ("x_test", "images"), "x_test"),
    ],
)
def test_which_array_is_read(part: str, names: tuple[str, ...], found: str, tmp_path: Path) -> None:
    pixels = np.zeros((2, 8, 8), np.uint8)
    np.savez(tmp_path / "some.npz", **dict.fromkeys(names, pixels))
    images = read_images(tmp_path / "some.npz", GREY, 2, part=part)  # type: ignore[arg-type]
    assert images.where.endswith(f"({found})")
    assert images.labels is None


def test_class_folders_are_labels_in_the_order_of_names(folder: Path) -> None:
    images = read_images(folder, RGB, 2, **PLAIN)
    assert images.labels is not None
    assert images.labels.tolist() == [0, 0, 1]
    colours = (images.load()[:, :, 4, 4] * 255).round().int()
    assert [tuple(colour) for colour in colours.tolist()] == [RED, GREEN, BLUE]


def test_the_test_folder_is_read_where_there_is_one(folder: Path) -> None:
    both = folder.parent / "both"
    save(both / "train" / "apple" / "a.png", RED)
    folder.rename(both / "test")
    with pytest.raises(ExportError, match=r"test holds class 'pear', which .*train has not"):
        read_images(both, RGB, 2)
    save(both / "train" / "pear" / "a.png", RED)
    assert len(read_images(both, RGB, 2)) == 3
    assert len(read_images(both, RGB, 2, part="train")) == 2


def test_a_folder_of_some_classes_is_read_by_their_names(folder: Path) -> None:
    (folder / "pear").rename(folder / "quince")
    images = read_images(folder, RGB, 4, classes=("pear", "quince", "apple", "plum"), **PLAIN)
    assert images.labels is not None
    assert images.labels.tolist() == [2, 2, 1]
    with pytest.raises(ExportError, match="class 'quince', which the network has not"):
        read_images(folder, RGB, 2, classes=("apple", "pear"))


def test_images_alone_have_labels_only_in_their_names(tmp_path: Path) -> None:
    save(tmp_path / "imagenet_00_243.jpg", RED)
    save(tmp_path / "imagenet_01_7.jpeg", GREEN)
    assert read_images(tmp_path, RGB, 1000).labels is None
    named = read_images(tmp_path, RGB, 1000, labels="name")
    assert named.labels is not None
    assert named.labels.tolist() == [243, 7]


def squared(path: Path, side: int, reading: Reading = USUAL) -> Pixels:
    return decode_at(path, square(side), reading, ExportError)[0]


def test_the_centre_is_cropped(tmp_path: Path) -> None:
    """16×32: a blue frame of 1/8 of the shorter side, which the crop of 3/4 leaves out."""
    pixels = np.zeros((16, 32, 3), np.uint8)
    pixels[...] = BLUE
    pixels[2:14, 10:22] = RED
    Image.fromarray(pixels).save(tmp_path / "wide.png")
    assert (squared(tmp_path / "wide.png", 12, Reading(crop=0.75)) == RED).all()
    whole = squared(tmp_path / "wide.png", 16)
    assert (whole[0] == BLUE).all()
    assert (whole[8, 2:14] == RED).all()


def test_a_photograph_stands_upright(tmp_path: Path) -> None:
    image = Image.new("RGB", (8, 8), RED)
    image.paste(BLUE, (0, 0, 8, 4))
    exif = Image.Exif()
    exif[0x0112] = 3  # orientation: upside down
    image.save(tmp_path / "turned.png", exif=exif)
    upright = squared(tmp_path / "turned.png", 8)
    assert (upright[0] == RED).all()
    assert (upright[7] == BLUE).all()


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"pictures": np.zeros((1, 8, 8), np.uint8)}, "has arrays pictures; expected x_test"),
        ({"images": np.zeros((1, 8, 8), np.float32)}, "images is float32 1×8×8; expected uint8"),
        ({"images": np.zeros((8, 8), np.uint8)}, "uint8 8×8; expected uint8 N×H×W"),
        ({"images": np.zeros((0, 8, 8), np.uint8)}, "0×8×8"),
        ({"images": np.zeros((1, 8, 8, 4), np.uint8)}, "images of 4 channels for a network of 3"),
        (
            {"images": np.zeros((1, 8, 8), np.uint8), "labels": np.zeros(2, np.int64)},
            "labels is int64 2; expected 1 whole numbers",
        ),
        (
            {"images": np.zeros((1, 8, 8), np.uint8), "labels": np.array([-1])},
            "labels span -1 to -1; expected 0 to 9",
        ),
        ({"images": np.array([[object()]])}, "cannot read"),
    ],
)
def test_arrays_of_another_kind_are_refused(
    arrays: dict[str, np.ndarray], message: str, tmp_path: Path
) -> None:
    np.savez(tmp_path / "wrong.npz", **arrays)  # type: ignore[arg-type]
    with pytest.raises(ExportError, match=message):
        read_images(tmp_path / "wrong.npz", RGB, 10)


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "text.npz").write_text("no zip")
    with pytest.raises(ExportError, match=r"cannot read .*text\.npz"):
        read_images(tmp_path / "text.npz", RGB, 10)
    with pytest.raises(ExportError, match="No such file"):
        read_images(tmp_path / "missing.npz", RGB, 10)
    (tmp_path / "set").mkdir()
    with pytest.raises(ExportError, match="holds no images"):
        read_images(tmp_path / "set", RGB, 10)
    (tmp_path / "set" / "broken.jpg").write_bytes(b"\xff\xd8\xff no more")
    with pytest.raises(ExportError, match=r"cannot decode image .*broken\.jpg"):
        read_images(tmp_path / "set", RGB, 10).load()


@pytest.mark.parametrize(("name", "arch"), [("name", RGB), ("name", GREY)])
def test_a_name_without_a_number_is_refused(name: Labels, arch: ArchSpec, tmp_path: Path) -> None:
    save(tmp_path / "cat.png", RED)
    with pytest.raises(ExportError, match=r"cat\.png has no number in its name"):
        read_images(tmp_path, arch, 10, labels=name)
