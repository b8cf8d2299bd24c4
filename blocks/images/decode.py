"""The one decoder of image files: grey or RGB, upright, resized, the centre square cut out."""

import io
import struct
import zlib
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from blocks.errors import CompoundNasError, one_line

IMAGE_SUFFIXES: Final = (".jpg", ".jpeg", ".png", ".bmp", ".ppm", ".pgm", ".webp", ".tif", ".tiff")

Pixels = NDArray[np.uint8]

_DAMAGE: Final = (
    OSError, ValueError, SyntaxError, EOFError, IndexError, TypeError, zlib.error, struct.error,
)  # fmt: skip
"""What Pillow raises of a damaged file."""


def open_image(path: Path, error: type[CompoundNasError]) -> tuple[Image.Image, bytes]:
    """The image, of mode L or RGB and upright, and the bytes of its file.

    Raises:
        CompoundNasError: not an image, a damaged or an enormous one; of the class `error`.
    """
    try:
        content = path.read_bytes()
        with Image.open(io.BytesIO(content)) as image:
            if image.mode in ("I", "F"):
                raise ValueError(f"mode {image.mode} (32 bits a pixel) has no fixed range")
            upright: Image.Image = ImageOps.exif_transpose(image)
            if upright.mode.startswith("I;16"):
                wide = np.asarray(upright).astype(np.uint16)
                upright = Image.fromarray((wide >> 8).astype(np.uint8))
            return upright.convert("L" if upright.mode in ("1", "L") else "RGB"), content
    except UnidentifiedImageError:  # whose own words name the buffer
        reason = f"cannot identify image file {str(path)!r}"
        raise error(f"cannot decode image {path}: {reason}") from None
    except _DAMAGE as damage:
        reason = one_line(damage) or type(damage).__name__
        raise error(f"cannot decode image {path}: {reason}") from None
    except Image.DecompressionBombError as bomb:
        reason = one_line(bomb) or type(bomb).__name__
        raise error(f"image {path} is refused: {reason}") from None


def centre_square(
    image: Image.Image, side: int, resample: Image.Resampling, crop: float = 1.0
) -> Pixels:
    """uint8 (side, side, 1 or 3): the centre, of `crop` of the shorter side."""
    scale = max(side, round(side / crop)) / min(image.size)
    size = (max(side, round(image.width * scale)), max(side, round(image.height * scale)))
    left, top = (size[0] - side) // 2, (size[1] - side) // 2
    image = image.resize(size, resample).crop((left, top, left + side, top + side))
    array = np.array(image, dtype=np.uint8)
    return array[:, :, None] if array.ndim == 2 else array
