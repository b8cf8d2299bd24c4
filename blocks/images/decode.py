"""The one decoder of image files: upright, 8 bits a channel, resized and cut to a square.

What most files are (8 bits, grey or RGB) Pillow reads; `blocks.images.deep` knows the others.
"""

import io
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageColor, UnidentifiedImageError

from blocks.arch import Size
from blocks.errors import CompoundNasError, one_line
from blocks.images.deep import (
    DAMAGE,
    MANY_PAGES,
    NPY,
    TRANSPARENT,
    Deep,
    may_be_deep,
    read_array,
    read_deep,
    upright,
)
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

_HEAD: Final = 32
"""Bytes that tell what kind a file is."""


@dataclass(frozen=True)
class Opened:
    """An upright image, of mode L or RGB, or uint8 (H, W, C) of other channels; the bytes of its
    file; what is to be said of it."""

    image: Image.Image | Pixels
    content: bytes
    notes: tuple[str, ...] = ()


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


class Span(NamedTuple):
    """The least and the greatest value of a file of more than 8 bits, and whether its values are
    floats."""

    low: float
    high: float
    floats: bool


def span_of(path: Path, error: type[CompoundNasError]) -> Span | None:
    """What values a file of more than 8 bits has; None: it has 8 bits.

    Raises:
        CompoundNasError: as `open_image`.
    """

    def measure(path: Path) -> Span | None:
        with path.open("rb") as file:
            head = file.read(_HEAD)
            if not may_be_deep(head):
                return None
            deep = read_deep(head + file.read())
        if deep is None:
            return None
        colour = deep.values[..., :-1] if deep.alpha else deep.values
        if not np.isfinite(colour).all():
            return None  # it is refused when it is decoded
        return Span(float(colour.min()), float(colour.max()), colour.dtype.kind == "f")

    return _guarded(path, error, measure)


def _guarded(path: Path, error: type[CompoundNasError], work: Callable[[Path], _Result]) -> _Result:
    heif_installed()
    try:
        return work(path)
    except UnidentifiedImageError:  # whose own words name the buffer
        reason = f"cannot identify image file {str(path)!r}"
        raise error(f"cannot decode image {path}: {reason}") from None
    except DAMAGE as damage:
        reason = one_line(damage) or type(damage).__name__
        raise error(f"cannot decode image {path}: {reason}") from None
    except Image.DecompressionBombError as bomb:
        reason = one_line(bomb) or type(bomb).__name__
        raise error(f"image {path} is refused: {reason}") from None


def _open(content: bytes, reading: Reading, near: int | None) -> Opened:
    if may_be_deep(content) and (deep := read_deep(content)) is not None:
        return Opened(_to_bytes(deep, reading), content, deep.notes)
    if content.startswith(NPY):
        return Opened(_plain(read_array(content)), content)
    with Image.open(io.BytesIO(content)) as image:
        if near is not None and image.format == "JPEG":
            image.draft(None, (2 * near, 2 * near))
        notes = [MANY_PAGES] if getattr(image, "n_frames", 1) > 1 else []
        turned, said = upright(image)
        notes += said
        if turned.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in turned.info:
            whole = turned.convert("RGBA")
            if whole.getchannel("A").getextrema() != (255, 255):
                notes.append(TRANSPARENT)
                turned = _laid_on(whole, reading.background, turned.mode in ("LA", "La"))
        grey = turned.mode in ("1", "L", "LA", "La")
        return Opened(turned.convert("L" if grey else "RGB"), content, tuple(notes))


def _laid_on(image: Image.Image, background: str, grey: bool) -> Image.Image:
    ground = Image.new("RGBA", image.size, (*ImageColor.getrgb(background)[:3], 255))
    laid = Image.alpha_composite(ground, image)
    return laid.convert("L") if grey else laid


def _to_bytes(deep: Deep, reading: Reading) -> Image.Image | Pixels:
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


def centre_of(
    image: Image.Image | Pixels, size: Size, resample: Image.Resampling, crop: float = 1.0
) -> Pixels:
    """uint8 (*size, C): the centre, of `crop` of the side that is the shorter by this shape."""
    height, width = size

    def cut(image: Image.Image) -> Image.Image:
        scale = max(
            max(height, round(height / crop)) / image.height,
            max(width, round(width / crop)) / image.width,
        )
        large = (max(width, round(image.width * scale)), max(height, round(image.height * scale)))
        left, top = (large[0] - width) // 2, (large[1] - height) // 2
        return image.resize(large, resample).crop((left, top, left + width, top + height))

    return _by_channels(image, cut)


def whole_of(
    image: Image.Image | Pixels, size: Size, resample: Image.Resampling, fill: str | None
) -> Pixels:
    """uint8 (*size, C): all of the image, its sides changed each by its own, or, with `fill`,
    alike, and the rest of that colour."""

    def fit(image: Image.Image) -> Image.Image:
        if fill is None:
            return image.resize((size.width, size.height), resample)
        scale = min(size.height / image.height, size.width / image.width)
        small = image.resize([max(1, round(each * scale)) for each in image.size], resample)
        return _in_the_middle(small, size, fill)

    return _by_channels(image, fit)


def fitted_to(
    image: Image.Image | Pixels,
    size: Size,
    resample: Image.Resampling,
    reading: Reading,
    path: Path,
    error: type[CompoundNasError],
    crop: float = 1.0,
) -> Pixels:
    """uint8 (*size, C), made as `reading` says; `crop`: see `centre_of`. `path` names the
    file in messages.

    Raises:
        CompoundNasError: see `_match_pixels`; of the class `error`.
    """
    width, height = size_of(image)
    if not reading.enlarge and (width < size.width or height < size.height):
        pixels = _as_large_as_it_is(image, size, resample, reading)
    elif reading.resize == "crop":
        pixels = centre_of(image, size, resample, crop)
    else:
        fill = reading.background if reading.resize == "pad" else None
        pixels = whole_of(image, size, resample, fill)
    if reading.channels is None:
        return pixels
    return _match_pixels(pixels, reading.channels, path, error)


def _as_large_as_it_is(
    image: Image.Image | Pixels, size: Size, resample: Image.Resampling, reading: Reading
) -> Pixels:
    """uint8 (*size, C) of an image with a side too short for it: not enlarged, the other side cut
    (`crop`) or made as short as need be, in the middle of the background."""

    def put(image: Image.Image) -> Image.Image:
        width, height = min(image.width, size.width), min(image.height, size.height)
        if reading.resize == "pad":
            scale = min(width / image.width, height / image.height)
            width, height = (max(1, round(each * scale)) for each in image.size)
        if reading.resize == "crop":
            left, top = (image.width - width) // 2, (image.height - height) // 2
            small = image.crop((left, top, left + width, top + height))
        else:
            small = image.resize((width, height), resample)
        return _in_the_middle(small, size, reading.background)

    return _by_channels(image, put)


def _in_the_middle(image: Image.Image, size: Size, fill: str) -> Image.Image:
    ground: Any = ImageColor.getcolor(fill, image.mode)
    whole = Image.new(image.mode, (size.width, size.height), ground)
    whole.paste(image, ((size.width - image.width) // 2, (size.height - image.height) // 2))
    return whole


def _match_pixels(
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
