"""The one decoder of image files: upright, 8 bits a channel, resized and cut to a square.

What most files are (8 bits, grey or RGB) Pillow reads. TIFF of other depths and channels is
tifffile's, where it is installed; arrays (`.npy`) are NumPy's.
"""

import io
import math
import os
import re
import struct
import warnings
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageColor, ImageOps, UnidentifiedImageError

from blocks.errors import CompoundNasError, one_line
from blocks.images.reading import USUAL, Reading

IMAGE_SUFFIXES: Final = (
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".gif", ".webp", ".avif", ".tif", ".tiff",
    ".ppm", ".pgm", ".pbm", ".pnm", ".jp2", ".tga", ".npy",
)  # fmt: skip
HEIF_SUFFIXES: Final = (".heic", ".heif")
"""Read where the package pillow-heif is installed."""

Pixels = NDArray[np.uint8]
Array = NDArray[Any]
_Result = TypeVar("_Result")

_DAMAGE: Final = (
    OSError, ValueError, SyntaxError, EOFError, IndexError, TypeError, KeyError, RuntimeError,
    MemoryError, zlib.error, struct.error,
)  # fmt: skip
"""What readers raise of a damaged file."""
_BAD_EXIF: Final = (*_DAMAGE, AttributeError, ZeroDivisionError, Warning)
"""What reading an orientation raises; a warning where warnings are errors."""
warnings.filterwarnings("ignore", "Corrupt EXIF data", UserWarning)  # it is said, and counted
_NPY: Final = b"\x93NUMPY"
_PNG: Final = b"\x89PNG\r\n\x1a\n"
_TIFF: Final = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_EIGHT_BITS: Final = (b"\xff\xd8", b"GIF8", b"BM", b"RIFF", _PNG)
"""What files begin with whose channels have 8 bits; of PNG, unless its head says 16."""
_HEAD: Final = 32
"""Bytes that tell what kind a file is."""
_BITS, _PHOTOMETRIC, _SAMPLES, _EXTRA = 258, 262, 277, 338
_SEPARATED: Final = 5  # cyan, magenta, yellow, black
"""TIFF's tags."""

MANY_PAGES: Final = "have more than one page or frame: the first is read"
NO_ORIENTATION: Final = "have an orientation that cannot be read: taken as they lie"
TRANSPARENT: Final = "are transparent: laid on the background"


@dataclass(frozen=True)
class Opened:
    """An upright image, of mode L or RGB, or uint8 (H, W, C) of other channels; the bytes of its
    file; what is to be said of it."""

    image: Image.Image | Pixels
    content: bytes
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Deep:
    """Values of more than 8 bits, (H, W, C), and those that their type spans."""

    values: Array
    span: tuple[float, float]
    alpha: bool = False
    pages: int = 1

    @property
    def notes(self) -> tuple[str, ...]:
        transparent = self.alpha and self.values[..., -1].min() < self.span[1]
        said = {MANY_PAGES: self.pages > 1, TRANSPARENT: transparent}
        return tuple(note for note, so in said.items() if so)


@cache
def heif_installed() -> bool:
    """Whether HEIF files are read."""
    if find_spec("pillow_heif") is None:
        return False
    import pillow_heif

    pillow_heif.register_heif_opener()
    return True


def why_unread(path: Path) -> str | None:
    """Why files of this name are not read; None: they are."""
    return why_unread_name(path.name)


def why_unread_name(name: str) -> str | None:
    """The same of a name without its folder."""
    suffix = os.path.splitext(name)[1].lower()
    if suffix in IMAGE_SUFFIXES:
        return None
    if suffix in HEIF_SUFFIXES:
        return None if heif_installed() else f"{suffix} needs `pip install pillow-heif`"
    return f"no reader for {suffix}" if suffix else "no reader: a name without an ending"


def open_image(
    path: Path,
    error: type[CompoundNasError],
    reading: Reading = USUAL,
    near: int | None = None,
) -> Opened:
    """The image of a file. Of a JPEG much larger than `near` pixels, fewer are decoded.

    Raises:
        CompoundNasError: not an image, a damaged or an enormous one, one for which a package is
            missing; of the class `error`.
    """
    return _guarded(path, error, lambda path: _open(path.read_bytes(), reading, near))


def span_of(path: Path, error: type[CompoundNasError]) -> tuple[float, float] | None:
    """The least and the greatest value of a file of more than 8 bits; None: it has 8.

    Raises:
        CompoundNasError: as `open_image`.
    """

    def measure(path: Path) -> tuple[float, float] | None:
        with path.open("rb") as file:
            head = file.read(_HEAD)
            if not _may_be_deep(head):
                return None
            deep = _deep(head + file.read())
        if deep is None:
            return None
        colour = deep.values[..., :-1] if deep.alpha else deep.values
        if not np.isfinite(colour).all():
            return None  # it is refused when it is decoded
        return float(colour.min()), float(colour.max())

    return _guarded(path, error, measure)


def _guarded(path: Path, error: type[CompoundNasError], work: Callable[[Path], _Result]) -> _Result:
    heif_installed()
    try:
        return work(path)
    except UnidentifiedImageError:  # whose own words name the buffer
        reason = f"cannot identify image file {str(path)!r}"
        raise error(f"cannot decode image {path}: {reason}") from None
    except _DAMAGE as damage:
        reason = one_line(damage) or type(damage).__name__
        raise error(f"cannot decode image {path}: {reason}") from None
    except Image.DecompressionBombError as bomb:
        reason = one_line(bomb) or type(bomb).__name__
        raise error(f"image {path} is refused: {reason}") from None


def _open(content: bytes, reading: Reading, near: int | None) -> Opened:
    if _may_be_deep(content) and (deep := _deep(content)) is not None:
        return Opened(_to_bytes(deep, reading), content, deep.notes)
    if content.startswith(_NPY):
        return Opened(_plain(_array(content)), content)
    notes = []
    with Image.open(io.BytesIO(content)) as image:
        if near is not None and image.format == "JPEG":
            image.draft(None, (2 * near, 2 * near))
        if getattr(image, "n_frames", 1) > 1:
            notes.append(MANY_PAGES)
        image.load()  # damage of the pixels is an error, that of an orientation is not
        upright: Image.Image = image
        try:
            upright = ImageOps.exif_transpose(image)
        except _BAD_EXIF:
            notes.append(NO_ORIENTATION)
        if upright.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in upright.info:
            whole = upright.convert("RGBA")
            if whole.getchannel("A").getextrema() != (255, 255):
                notes.append(TRANSPARENT)
                upright = _laid_on(whole, reading.background, upright.mode in ("LA", "La"))
        grey = upright.mode in ("1", "L", "LA", "La")
        return Opened(upright.convert("L" if grey else "RGB"), content, tuple(notes))


def _laid_on(image: Image.Image, background: str, grey: bool) -> Image.Image:
    ground = Image.new("RGBA", image.size, (*ImageColor.getrgb(background)[:3], 255))
    laid = Image.alpha_composite(ground, image)
    return laid.convert("L") if grey else laid


def _may_be_deep(content: bytes) -> bool:
    """Whether there may be more than 8 bits a channel, or channels that Pillow knows not."""
    if content.startswith(_PNG):
        return content[24:25] == b"\x10"
    return not content.startswith(_EIGHT_BITS)


def _deep(content: bytes) -> _Deep | None:
    """The values of a file of more than 8 bits, or of channels other than grey and RGB."""
    if content.startswith(_NPY):
        array = _array(content)
        return None if array.dtype == np.uint8 else _Deep(array, _type_span(array))
    if content.startswith(_PNG) and content[25] != 0:
        return _deep_png(content)
    if content.startswith(_TIFF):
        return _deep_tiff(content)
    if content[:2] in (b"P2", b"P3", b"P5", b"P6"):
        return _deep_netpbm(content)
    with Image.open(io.BytesIO(content)) as image:
        return _deep_grey(image)


def _deep_grey(image: Image.Image) -> _Deep | None:
    if image.mode not in ("I", "F") and not image.mode.startswith("I;16"):
        return None
    array = np.asarray(_upright(image))[..., None]
    if image.mode != "I":
        return _Deep(array, _type_span(array))
    # Older Pillow opens PNG of 16 bits, and any opens TIFF of 16 bits with a sign, as this.
    return _Deep(array, (0.0, 65535.0) if image.format == "PNG" else _type_span(array))


def _upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except _BAD_EXIF:
        return image


def _deep_png(content: bytes) -> _Deep:
    """16-bit colour, of which Pillow keeps the upper bytes alone: the lower ones are read too."""
    halves = []
    for order in ("16B", "16L"):
        with Image.open(io.BytesIO(content)) as image:
            tile = image.tile[0]
            if tile.args not in ("RGB;16B", "RGBA;16B"):
                raise ValueError("PNG of 16 bits, grey with transparency, is not read")
            image.tile = [tile._replace(args=tile.args.replace("16B", order))]
            orientation = _orientation(image)
            halves.append(np.asarray(image).astype(np.uint16))
    array = 256 * halves[0] + halves[1]
    return _Deep(_turned(array, orientation), _type_span(array), array.shape[2] == 4)


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except _BAD_EXIF:
        return 1


def _turned(array: Array, orientation: int) -> Array:
    """(H, W, C) as EXIF's orientation says."""
    if orientation in (5, 6, 7, 8):
        array = array.transpose(1, 0, 2)
    if orientation in (2, 3, 6, 7):
        array = array[:, ::-1]
    if orientation in (3, 4, 7, 8):
        array = array[::-1]
    return array


def _deep_netpbm(content: bytes) -> _Deep | None:
    """PGM and PPM of more than 8 bits (netpbm's formats of one image, raw or in digits)."""
    head = re.match(
        rb"P([2356])(?:\s+|#[^\n]*\n)+(\d+)(?:\s|#[^\n]*\n)+(\d+)(?:\s|#[^\n]*\n)+(\d+)\s", content
    )
    if head is None:
        return None
    kind, width, height, most = (int(group) for group in head.groups())
    if most < 256:
        return None
    channels = 3 if kind in (3, 6) else 1
    _check_size(width * height)
    count = width * height * channels
    if kind in (2, 3):
        values = np.array(content[head.end() :].split()[:count], dtype=np.int64)
    else:
        values = np.frombuffer(content, ">u2", count, head.end())
    return _Deep(values.reshape(height, width, channels), (0.0, float(most)))


def _check_size(pixels: int) -> None:
    if Image.MAX_IMAGE_PIXELS is not None and pixels > 2 * Image.MAX_IMAGE_PIXELS:
        raise Image.DecompressionBombError(f"{pixels:,} pixels are too many")


def _deep_tiff(content: bytes) -> _Deep | None:
    """TIFF that Pillow would take for less than it is: of a channel more it drops it, of deep
    colour it keeps the upper bytes, and of whole numbers it forgets how many bits they had."""
    plain = True
    try:
        with Image.open(io.BytesIO(content)) as image:
            tags: Any = getattr(image, "tag_v2", {})
            bits, samples = max(tags.get(_BITS, (1,))), tags.get(_SAMPLES, 1)
            alpha = tags.get(_EXTRA) in ((1,), (2,))
            colours = 4 if tags.get(_PHOTOMETRIC) == _SEPARATED else 3
            usual = samples in (1, colours) or (alpha and samples in (2, colours + 1))
            if bits <= 8 and usual:
                return None
            if find_spec("tifffile") is None and samples == 1:
                return _deep_grey(image)
    except UnidentifiedImageError:
        plain = False
    if find_spec("tifffile") is None:
        raise ValueError(
            "a TIFF of several channels or of more than 8 bits needs `pip install tifffile`"
        )
    import tifffile

    with tifffile.TiffFile(io.BytesIO(content)) as file:
        page = file.pages.first
        _check_size(math.prod(page.shape))
        array: Array = page.asarray()
        axes, pages = page.axes, len(file.pages)
        inverted = page.photometric == 0 and array.dtype.kind == "u"
        tag = page.tags.get(274)
        orientation = 1 if tag is None else int(tag.value)
        alpha = plain and tuple(page.extrasamples) in ((1,), (2,)) and array.ndim == 3
    if axes == "YX":
        array = array[..., None]
    elif axes == "SYX":
        array = array.transpose(1, 2, 0)
    elif axes != "YXS":
        raise ValueError(f"its axes are {axes}; expected YX, YXS or SYX")
    if inverted:
        array = np.iinfo(array.dtype).max - array
    return _Deep(
        _turned(array, orientation), _type_span(array), alpha and array.shape[2] in (2, 4), pages
    )


def _array(content: bytes) -> Array:
    """A NumPy array of (H, W) or (H, W, C) as (H, W, C)."""
    array: Array = np.load(io.BytesIO(content), allow_pickle=False)
    if array.ndim == 2:
        array = array[..., None]
    shape = "×".join(map(str, array.shape))
    if array.ndim != 3 or not array.size or array.dtype.kind not in "uif":
        raise ValueError(f"an array of {array.dtype} {shape}; expected numbers H×W or H×W×C")
    if array.shape[0] < array.shape[2] and array.shape[0] <= 16:
        raise ValueError(f"an array of {shape}; expected channels last, H×W×C")
    return array


def _type_span(array: Array) -> tuple[float, float]:
    if array.dtype.kind == "f":
        return 0.0, 1.0
    limits = np.iinfo(array.dtype)
    return float(limits.min), float(limits.max)


def _to_bytes(deep: _Deep, reading: Reading) -> Image.Image | Pixels:
    values = deep.values.astype(np.float32)
    if not np.isfinite(values).all():
        raise ValueError("it holds values that are not finite")
    colour = values[..., :-1] if deep.alpha else values
    low, high = reading.span or deep.span
    if reading.span is None and deep.values.dtype.kind == "f":
        least, most = float(colour.min()), float(colour.max())
        if least < low or most > high:
            raise ValueError(
                f"its values go from {least:g} to {most:g}, beyond {low:g} to {high:g}; "
                "dataset.range=LOW..HIGH says what is black and what is white"
            )
    scaled = np.clip((colour - low) / (high - low), 0, 1) * 255
    if deep.alpha:
        alpha = values[..., -1:] / deep.span[1]
        ground = np.array(ImageColor.getrgb(reading.background)[:3], dtype=np.float32)
        scaled = scaled * alpha + (ground if scaled.shape[2] == 3 else ground.mean()) * (1 - alpha)
    return _plain(np.rint(scaled).astype(np.uint8))


def _plain(array: Pixels) -> Image.Image | Pixels:
    """An image of Pillow's where it has one of these channels."""
    array = np.ascontiguousarray(array)
    if array.shape[2] == 1:
        return Image.fromarray(array[..., 0])
    return Image.fromarray(array) if array.shape[2] == 3 else array


def size_of(image: Image.Image | Pixels) -> tuple[int, int]:
    """Width and height."""
    return image.size if isinstance(image, Image.Image) else (image.shape[1], image.shape[0])


def centre_square(
    image: Image.Image | Pixels, side: int, resample: Image.Resampling, crop: float = 1.0
) -> Pixels:
    """uint8 (side, side, C): the centre, of `crop` of the shorter side."""

    def cut(image: Image.Image) -> Image.Image:
        scale = max(side, round(side / crop)) / min(image.size)
        size = (max(side, round(image.width * scale)), max(side, round(image.height * scale)))
        left, top = (size[0] - side) // 2, (size[1] - side) // 2
        return image.resize(size, resample).crop((left, top, left + side, top + side))

    return _by_channels(image, cut)


def whole_square(
    image: Image.Image | Pixels, side: int, resample: Image.Resampling, fill: str | None
) -> Pixels:
    """uint8 (side, side, C): all of the image, its sides changed each by its own, or, with `fill`,
    alike, and the rest of that colour."""

    def fit(image: Image.Image) -> Image.Image:
        if fill is None:
            return image.resize((side, side), resample)
        scale = side / max(image.size)
        small = image.resize([max(1, round(each * scale)) for each in image.size], resample)
        ground: Any = ImageColor.getcolor(fill, image.mode)
        square = Image.new(image.mode, (side, side), ground)
        square.paste(small, ((side - small.width) // 2, (side - small.height) // 2))
        return square

    return _by_channels(image, fit)


def match_pixels(
    pixels: Pixels, channels: int, path: Path, error: type[CompoundNasError]
) -> Pixels:
    """(H, W, C) with other channels: grey repeated, RGB as luminance, of more the first ones.

    Raises:
        CompoundNasError: there are fewer, and they are not grey; of the class `error`.
    """
    has = pixels.shape[2]
    if has == channels:
        return pixels
    if has == 1:
        return np.broadcast_to(pixels, (*pixels.shape[:2], channels))
    if has == 3 and channels == 1:
        return np.asarray(Image.fromarray(pixels).convert("L"))[..., None]
    if has < channels:
        raise error(f"{path} has {has} channels; expected {channels} (dataset.channels) or 1")
    return pixels[..., :channels]


def _by_channels(
    image: Image.Image | Pixels, change: Callable[[Image.Image], Image.Image]
) -> Pixels:
    """What becomes of an image, or of each channel of an array."""
    if isinstance(image, Image.Image):
        array = np.array(change(image), dtype=np.uint8)
        return array[:, :, None] if array.ndim == 2 else array
    planes = [np.asarray(change(Image.fromarray(plane))) for plane in np.moveaxis(image, 2, 0)]
    return np.stack(planes, axis=2)
