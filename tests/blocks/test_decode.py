"""Pixels as files have them: depth, transparency, orientation, pages, channels."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from blocks.arch import Size, square
from blocks.errors import ExportError
from blocks.images.decode import (
    MANY_PAGES,
    TRANSPARENT,
    centre_of,
    fitted_to,
    open_image,
    span_of,
    whole_of,
)
from blocks.images.deep import NO_ORIENTATION
from blocks.images.reading import USUAL, Reading, reading_from, reading_to_mapping


def opened(path: Path, reading: Reading = USUAL) -> np.ndarray:
    return np.asarray(open_image(path, ExportError, reading).image)


def write_png(path: Path, values: np.ndarray) -> None:
    """A PNG of 16 bits, of 1 to 4 channels (PNG §11.2); Pillow writes grey ones alone."""
    height, width, channels = values.shape
    colour = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    lines = b"".join(b"\0" + line.astype(">u2").tobytes() for line in values)

    def chunk(kind: bytes, content: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + check

    head = struct.pack(">IIBBBBB", width, height, 16, colour, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(lines))
        + chunk(b"IEND", b"")
    )  # fmt: skip


@pytest.mark.parametrize("channels", [1, 3])
def test_twelve_bits_of_a_png(channels: int, tmp_path: Path) -> None:
    values = np.array([0, 1000, 2000, 4000]).reshape(2, 2, 1).repeat(channels, 2)
    write_png(tmp_path / "deep.png", values)
    assert span_of(tmp_path / "deep.png", ExportError) == (0, 4000, False)
    pixels = opened(tmp_path / "deep.png", Reading(span=(0, 4000)))
    assert pixels.reshape(4, channels).T.tolist() == [[0, 64, 128, 255]] * channels
    # By the type's own range.
    assert opened(tmp_path / "deep.png").max() == round(4000 / 65535 * 255)


def test_sixteen_bits_and_transparency(tmp_path: Path) -> None:
    values = np.zeros((1, 3, 4), dtype=np.int64)
    values[0, :, 3] = [65535, 32768, 0]
    write_png(tmp_path / "deep.png", values)
    pixels = opened(tmp_path / "deep.png", Reading(background="#ff0080"))
    assert pixels.tolist() == [[[0, 0, 0], [127, 0, 64], [255, 0, 128]]]
    assert span_of(tmp_path / "deep.png", ExportError) == (0, 0, False)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_black_on_a_transparent_ground_is_seen(mode: str, tmp_path: Path) -> None:
    image = Image.new("RGBA", (4, 4), (0, 0, 0, 0))
    image.paste((0, 0, 0, 255), (0, 0, 2, 4))
    image.convert(mode).save(tmp_path / "sign.png")
    found = open_image(tmp_path / "sign.png", ExportError)
    assert found.notes == (TRANSPARENT,)
    pixels = np.asarray(found.image)
    assert (pixels[:, :2] == 0).all()
    assert (pixels[:, 2:] == 255).all()
    assert (opened(tmp_path / "sign.png", Reading(background="black")) == 0).all()


def test_an_opaque_image_with_transparency_is_as_it_is(tmp_path: Path) -> None:
    Image.new("RGBA", (4, 4), (10, 20, 30, 255)).save(tmp_path / "solid.png")
    found = open_image(tmp_path / "solid.png", ExportError)
    assert found.notes == ()
    assert np.asarray(found.image)[0, 0].tolist() == [10, 20, 30]


def test_print_colours(tmp_path: Path) -> None:
    Image.new("CMYK", (8, 8), (0, 255, 255, 0)).save(tmp_path / "red.tif")
    assert opened(tmp_path / "red.tif")[0, 0].tolist() == [255, 0, 0]


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")  # Pillow's, as it opens a JPEG
@pytest.mark.parametrize("kind", ["png", "webp", "jpg"])
def test_an_orientation_that_cannot_be_read(kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"turned.{kind}"
    damaged = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\xff\xff\xff\xff"
    Image.new("RGB", (6, 4), (200, 10, 10)).save(path, exif=damaged)
    found = open_image(path, ExportError)
    assert np.asarray(found.image).shape == (4, 6, 3)
    assert set(found.notes) <= {NO_ORIENTATION}


def test_the_first_page_is_read(tmp_path: Path) -> None:
    pages = [Image.new("L", (4, 4), value) for value in (10, 200)]
    for name in ("pages.tif", "film.gif"):
        pages[0].save(tmp_path / name, save_all=True, append_images=pages[1:])
        found = open_image(tmp_path / name, ExportError)
        assert found.notes == (MANY_PAGES,)
        assert (np.asarray(found.image) == 10).all()


@pytest.mark.parametrize("kind", ["npy", "tif"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_four_channels(kind: str, dtype: type, tmp_path: Path) -> None:
    """The fourth is a channel, not transparency."""
    values = np.arange(5 * 6 * 4).reshape(5, 6, 4).astype(dtype)
    path = tmp_path / f"field.{kind}"
    if kind == "npy":
        np.save(path, values)
    else:
        tifffile = pytest.importorskip("tifffile")
        tifffile.imwrite(path, values, photometric="rgb", extrasamples=["unspecified"])
    reading = USUAL if dtype is np.uint8 else Reading(span=(0, 255))
    pixels = opened(path, reading)
    assert (pixels == values).all()
    cut = centre_of(pixels, square(5), Image.Resampling.BILINEAR)
    assert (cut == values[:, :5]).all() or (cut == values[:, 1:]).all()


def test_channels_first_arrays_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "first.npy", np.zeros((3, 24, 24), np.uint8))
    with pytest.raises(ExportError, match=r"3×24×24; expected channels last"):
        opened(tmp_path / "first.npy")
    np.save(tmp_path / "words.npy", np.array(["a"]))
    with pytest.raises(ExportError, match="expected numbers"):
        opened(tmp_path / "words.npy")
    np.save(tmp_path / "hole.npy", np.full((4, 4), np.nan))
    with pytest.raises(ExportError, match="not finite"):
        opened(tmp_path / "hole.npy")


def test_the_whole_of_a_wide_image(tmp_path: Path) -> None:
    wide = Image.new("RGB", (12, 6), (255, 0, 0))
    squashed = whole_of(wide, square(6), Image.Resampling.BILINEAR, None)
    assert (squashed == (255, 0, 0)).all()
    padded = whole_of(wide, square(6), Image.Resampling.BILINEAR, "black")
    assert padded[:, 0].sum(1).tolist() == [0, 255, 255, 255, 0, 0]
    array = np.repeat(np.asarray(wide)[..., :1], 4, axis=2)
    assert whole_of(array, square(6), Image.Resampling.BILINEAR, "white").shape == (6, 6, 4)


def test_much_larger_jpegs_are_decoded_smaller(tmp_path: Path) -> None:
    """By JPEG's own scaling; what comes out is nearly the same."""
    wave = (127 + 120 * np.sin(np.arange(640) / 40)).astype(np.uint8)
    Image.fromarray(np.tile(wave, (480, 1))).convert("RGB").save(tmp_path / "large.jpg", quality=95)
    whole = open_image(tmp_path / "large.jpg", ExportError).image
    small = open_image(tmp_path / "large.jpg", ExportError, near=40).image
    assert isinstance(small, Image.Image)
    assert small.size == (160, 120)
    one, other = (centre_of(each, square(40), Image.Resampling.BILINEAR) for each in (whole, small))
    assert np.abs(one.astype(int) - other).max() <= 6


@pytest.mark.parametrize(
    "reading", [USUAL, Reading("#000000", (1.5, 4095.0), "pad", 4), Reading(span=(-3.0, 3.0))]
)
def test_how_images_are_read_is_kept(reading: Reading) -> None:
    assert reading_from(reading_to_mapping(reading)) == reading


def test_a_bomb_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    buffer = io.BytesIO()
    Image.new("L", (40, 40)).save(buffer, "PNG")
    (tmp_path / "bomb.png").write_bytes(buffer.getvalue())
    write_png(tmp_path / "deep.png", np.zeros((40, 40, 3)))
    for name in ("bomb.png", "deep.png"):
        with pytest.raises(ExportError, match=rf"image .*{name} is refused"):
            opened(tmp_path / name)


@pytest.mark.parametrize("kind", ["png", "jpg", "gif", "jp2"])
def test_damaged_pixels_are_refused_and_not_black(kind: str, tmp_path: Path) -> None:
    """An orientation that cannot be read is another thing."""
    path = tmp_path / f"x.{kind}"
    wave = (127 + 90 * np.sin(np.arange(200) / 9)).astype(np.uint8)
    Image.fromarray(np.add.outer(wave, wave) // 2).convert("RGB").save(path)
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    if kind in ("png", "gif"):
        content[middle : middle + 32] = b"\xaa" * 32
    path.write_bytes(content[: None if kind in ("png", "gif") else middle])
    with pytest.raises(ExportError, match=r"cannot decode image .*x\."):
        opened(path)


def write_netpbm(path: Path, values: np.ndarray, most: int, raw: bool) -> None:
    height, width, channels = values.shape
    kind = {(1, False): 2, (3, False): 3, (1, True): 5, (3, True): 6}[channels, raw]
    head = f"P{kind}\n# a comment\n{width} {height}\n{most}\n".encode()
    digits = " ".join(map(str, values.ravel().tolist())).encode()
    path.write_bytes(head + (values.astype(">u2").tobytes() if raw else digits))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("raw", [False, True])
def test_deep_netpbm(channels: int, raw: bool, tmp_path: Path) -> None:
    values = np.array([0, 1000, 2000, 4000]).reshape(2, 2, 1).repeat(channels, 2)
    write_netpbm(tmp_path / "x.ppm", values, 4000, raw)
    assert span_of(tmp_path / "x.ppm", ExportError) == (0, 4000, False)
    pixels = opened(tmp_path / "x.ppm")  # its own greatest value is white
    assert pixels.reshape(4, channels).T.tolist() == [[0, 64, 128, 255]] * channels


@pytest.mark.parametrize(
    ("dtype", "settings", "expected"),
    [
        ("uint16", {"bigtiff": True}, [0, 64, 128, 255]),
        ("uint16", {"photometric": "miniswhite"}, [255, 191, 128, 0]),
        ("int16", {}, [0, 64, 128, 255]),
        ("uint32", {}, [0, 64, 128, 255]),
        ("float64", {"bigtiff": True}, [0, 64, 128, 255]),
    ],
)
def test_deep_tiff(
    dtype: str, settings: dict[str, object], expected: list[int], tmp_path: Path
) -> None:
    tifffile = pytest.importorskip("tifffile")
    values = np.array([[0, 1000], [2000, 4000]]).astype(dtype)
    tifffile.imwrite(tmp_path / "x.tif", values, **settings)
    span = span_of(tmp_path / "x.tif", ExportError)
    assert span is not None
    assert opened(tmp_path / "x.tif", Reading(span=span[:2])).ravel().tolist() == expected


def test_further_channels_of_colour_are_kept(tmp_path: Path) -> None:
    tifffile = pytest.importorskip("tifffile")
    values = np.arange(4 * 5 * 5).reshape(4, 5, 5).astype(np.uint8)
    tifffile.imwrite(tmp_path / "x.tif", values, photometric="rgb", planarconfig="contig")
    assert (opened(tmp_path / "x.tif") == values).all()


def test_damaged_pixels_of_sixteen_bits_are_refused_too(tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    Image.fromarray(np.arange(64 * 64, dtype=np.uint16).reshape(64, 64) * 7).save(path)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(ExportError, match=r"cannot decode image .*x\.png"):
        opened(path)


def test_images_that_are_not_square() -> None:
    """A gradient from left to right, 20 high and 60 wide, of 1 a pixel."""
    wide = Image.fromarray(np.tile(np.arange(60, dtype=np.uint8), (20, 1)))
    bilinear = Image.Resampling.BILINEAR
    assert (centre_of(wide, Size(20, 40), bilinear)[..., 0] == np.arange(10, 50)).all()
    assert (centre_of(wide, Size(20, 60), bilinear)[..., 0] == np.arange(60)).all()
    # The shape is wider than the image is: of the height 15 of 20 lines are left.
    assert centre_of(wide, Size(15, 60), bilinear).shape == (15, 60, 1)
    assert whole_of(wide, Size(10, 30), bilinear, None).shape == (10, 30, 1)
    padded = whole_of(wide, Size(40, 60), bilinear, "white")
    assert (padded[:10] == 255).all()
    assert (padded[10:30, :, 0] == np.arange(60)).all()


@pytest.mark.parametrize(
    ("resize", "height", "width"), [("crop", 20, 40), ("pad", 13, 40), ("squash", 20, 40)]
)
def test_a_small_image_may_keep_its_size(
    tmp_path: Path, resize: str, height: int, width: int
) -> None:
    image = Image.new("RGB", (60, 20), "red")
    reading = Reading("black", resize=resize, enlarge=False)
    made = fitted_to(image, Size(30, 40), Image.Resampling.BILINEAR, reading, tmp_path, ExportError)
    there = np.argwhere(made[..., 0] > 0)
    assert (np.ptp(there, axis=0) + 1).tolist() == [height, width]
    top, left = there.min(0)
    assert (top, left) == ((30 - height) // 2, (40 - width) // 2)
    enlarged = fitted_to(
        image, Size(30, 40), Image.Resampling.BILINEAR, USUAL, tmp_path, ExportError
    )
    assert (enlarged[..., 0] == 255).all()
