"""What Pillow takes for less than it is: values of more than 8 bits, channels beyond colour.

PNG of 16 bits, PGM and PPM, TIFF of other depths and channels (by tifffile, where it is installed),
arrays in `.npy`.
"""

import io
import math
import re
import warnings
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from blocks.errors import one_line
from blocks.images.npz import NPZ_DAMAGE, read_npy

Array = NDArray[Any]

DAMAGE: Final = NPZ_DAMAGE
"""What readers raise of a damaged file."""
BAD_EXIF: Final = (*DAMAGE, AttributeError, ZeroDivisionError, Warning)
"""What reading an orientation raises; a warning where warnings are errors."""
warnings.filterwarnings("ignore", "Corrupt EXIF data", UserWarning)  # it is said, and counted
NPY: Final = b"\x93NUMPY"
_PNG: Final = b"\x89PNG\r\n\x1a\n"
_TIFF: Final = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_EIGHT_BITS: Final = (b"\xff\xd8", b"GIF8", b"BM", b"RIFF", _PNG)
"""What files begin with whose channels have 8 bits; of PNG, unless its head says 16."""
_BITS, _PHOTOMETRIC, _SAMPLES, _EXTRA = 258, 262, 277, 338
_SEPARATED: Final = 5  # cyan, magenta, yellow, black
"""TIFF's tags."""


MANY_PAGES: Final = "have more than one page or frame: the first is read"
NO_ORIENTATION: Final = "have an orientation that cannot be read: taken as they lie"
TRANSPARENT: Final = "are transparent: laid on the background"


@dataclass(frozen=True)
class Deep:
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


def may_be_deep(content: bytes) -> bool:
    """Whether there may be more than 8 bits a channel, or channels that Pillow knows not."""
    if content.startswith(_PNG):
        return content[24:25] == b"\x10"
    return not content.startswith(_EIGHT_BITS)


def read_deep(content: bytes) -> Deep | None:
    """The values of a file of more than 8 bits, or of channels other than grey and RGB."""
    if content.startswith(NPY):
        array = read_array(content)
        return None if array.dtype == np.uint8 else Deep(array, _type_span(array))
    if content.startswith(_PNG) and content[25] != 0:
        return _deep_png(content)
    if content.startswith(_TIFF):
        return _deep_tiff(content)
    if content[:2] in (b"P2", b"P3", b"P5", b"P6"):
        return _deep_netpbm(content)
    with Image.open(io.BytesIO(content)) as image:
        return _deep_grey(image)


def _deep_grey(image: Image.Image) -> Deep | None:
    if image.mode not in ("I", "F") and not image.mode.startswith("I;16"):
        return None
    array = np.asarray(upright(image)[0])[..., None]
    if image.mode != "I":
        return Deep(array, _type_span(array))
    # Older Pillow opens PNG of 16 bits, and any opens TIFF of 16 bits with a sign, as this.
    return Deep(array, (0.0, 65535.0) if image.format == "PNG" else _type_span(array))


def upright(image: Image.Image) -> tuple[Image.Image, tuple[str, ...]]:
    """As its orientation says, and what is to be said of it. Damage of the pixels is an error, that
    of an orientation is not."""
    image.load()
    try:
        return ImageOps.exif_transpose(image), ()
    except BAD_EXIF:
        return image, (NO_ORIENTATION,)


def _deep_png(content: bytes) -> Deep:
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
    return Deep(_turned(array, orientation), _type_span(array), array.shape[2] == 4)


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except BAD_EXIF:
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


def _deep_netpbm(content: bytes) -> Deep | None:
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
    return Deep(values.reshape(height, width, channels), (0.0, float(most)))


def _check_size(pixels: int) -> None:
    if Image.MAX_IMAGE_PIXELS is not None and pixels > 2 * Image.MAX_IMAGE_PIXELS:
        raise Image.DecompressionBombError(f"{pixels:,} pixels are too many")


def _deep_tiff(content: bytes) -> Deep | None:
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

    try:
        with tifffile.TiffFile(io.BytesIO(content)) as file:
            page = file.pages.first
            _check_size(math.prod(page.shape))
            array: Array = page.asarray()
            axes, pages = page.axes, len(file.pages)
            inverted = page.photometric == 0 and array.dtype.kind == "u"
            tag = page.tags.get(274)
            orientation = 1 if tag is None else int(tag.value)
            alpha = plain and tuple(page.extrasamples) in ((1,), (2,)) and array.ndim == 3
    except tifffile.TiffFileError as error:
        raise ValueError(one_line(error)) from None
    if axes == "YX":
        array = array[..., None]
    elif axes == "SYX":
        array = array.transpose(1, 2, 0)
    elif axes != "YXS":
        raise ValueError(f"its axes are {axes}; expected YX, YXS or SYX")
    if inverted:
        array = np.iinfo(array.dtype).max - array
    return Deep(
        _turned(array, orientation), _type_span(array), alpha and array.shape[2] in (2, 4), pages
    )


def read_array(content: bytes) -> Array:
    """A NumPy array of (H, W) or (H, W, C) as (H, W, C)."""
    array: Array = read_npy(content)
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
