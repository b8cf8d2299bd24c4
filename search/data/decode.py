"""Images decoded: a whole folder on all cores, or one file."""

import contextlib
import hashlib
import io
import os
import struct
import zlib
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from blocks.errors import one_line
from search.data.folder import IMAGE_SUFFIXES, ImageFile, ImageFolder
from search.errors import DataError

LONGEST: Final = 32
"""Of an image, its longer side over its shorter: what is beyond is cut off before resizing."""
_SIDE_BY_SIDE: Final = 64
"""Files from which on several threads are worth starting."""

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


@dataclass(frozen=True)
class Decoded:
    """Per split: uint8 (N, H, W, C), int64 (N,), and the SHA-256 of each file."""

    images: dict[str, NDArray[np.uint8]]
    labels: dict[str, NDArray[np.int64]]
    hashes: dict[str, list[bytes]]
    skipped: tuple[str, ...]


def decode_folder(folder: ImageFolder, image_size: int, on_corrupt: str) -> Decoded:
    """Decode all images, on all cores.

    Raises:
        DataError: an image that cannot be decoded, unless on_corrupt is skip; a class or a split
            without any.
    """

    def attempt(file: ImageFile) -> tuple[NDArray[np.uint8], bytes] | DataError:
        try:
            return decode_file(file.path, image_size)
        except DataError as error:
            return error

    images: dict[str, list[NDArray[np.uint8]]] = {part: [] for part in folder.parts}
    labels: dict[str, list[int]] = {part: [] for part in folder.parts}
    hashes: dict[str, list[bytes]] = {part: [] for part in folder.parts}
    skipped: list[str] = []
    # Closed, or after a refusal the threads would decode what is left before the program ends.
    with contextlib.closing(side_by_side(attempt, folder.files)) as attempts:
        for file, found in zip(folder.files, attempts, strict=True):
            if isinstance(found, DataError):
                if on_corrupt == "refuse":
                    raise DataError(f"{found}; dataset.on_corrupt=skip leaves such files out")
                skipped.append(str(file.path))
                continue
            images[file.part].append(found[0])
            labels[file.part].append(file.label)
            hashes[file.part].append(found[1])
    for label, name in enumerate(folder.classes):
        if label not in labels["train"]:
            raise DataError(
                f"class folder {folder.parts['train'] / name} holds no readable image "
                f"({', '.join(IMAGE_SUFFIXES)})"
            )
    for part, path in folder.parts.items():
        if not labels[part]:
            raise DataError(f"{path} holds no readable image")
    # One RGB image makes the whole set RGB.
    channels = max(image.shape[2] for part in images.values() for image in part)
    return Decoded(
        {
            part: np.stack([np.broadcast_to(i, (*i.shape[:2], channels)) for i in found])
            for part, found in images.items()
        },
        {part: np.array(found, dtype=np.int64) for part, found in labels.items()},
        hashes,
        tuple(skipped),
    )


def side_by_side(
    work: Callable[[_Item], _Result], items: Sequence[_Item]
) -> Generator[_Result, None, None]:
    """`map` in as many threads as this process has cores: for what leaves Python's lock alone,
    as reading, hashing and Pillow's decoding and resizing do."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    if len(items) < _SIDE_BY_SIDE or cores == 1:
        yield from map(work, items)
        return
    with ThreadPoolExecutor(cores) as pool:
        yield from pool.map(work, items)


def decode_file(path: Path, image_size: int) -> tuple[NDArray[np.uint8], bytes]:
    """The image, its shorter side resized to `image_size` and its centre cut out; its hash."""
    try:
        content = path.read_bytes()
        with Image.open(io.BytesIO(content)) as image:
            if image.mode in ("I", "F"):
                raise ValueError(f"mode {image.mode} (32 bits a pixel) has no fixed range")
            pixels = ImageOps.exif_transpose(image)
            if pixels.mode.startswith("I;16"):
                wide = np.asarray(pixels).astype(np.uint16)
                pixels = Image.fromarray((wide >> 8).astype(np.uint8))
            pixels = pixels.convert("L" if pixels.mode in ("1", "L") else "RGB")
    except (
        OSError,
        UnidentifiedImageError,
        ValueError,
        SyntaxError,
        EOFError,
        IndexError,
        TypeError,
        zlib.error,
        struct.error,
    ) as error:
        raise DataError(
            f"cannot decode image {path}: {one_line(error) or type(error).__name__}"
        ) from None
    except Image.DecompressionBombError as error:
        raise DataError(
            f"image {path} is refused: {one_line(error) or type(error).__name__}"
        ) from None
    if max(pixels.size) > LONGEST * min(pixels.size):
        # A line of pixels would be made an image of gigabytes, to be cut off again.
        width, height = (min(side, LONGEST * min(pixels.size)) for side in pixels.size)
        left, top = (pixels.width - width) // 2, (pixels.height - height) // 2
        pixels = pixels.crop((left, top, left + width, top + height))
    scale = image_size / min(pixels.size)
    size = (
        max(image_size, round(pixels.width * scale)),
        max(image_size, round(pixels.height * scale)),
    )
    pixels = pixels.resize(size, Image.Resampling.BILINEAR)
    left, top = (size[0] - image_size) // 2, (size[1] - image_size) // 2
    pixels = pixels.crop((left, top, left + image_size, top + image_size))
    array = np.asarray(pixels, dtype=np.uint8)
    return array[:, :, None] if array.ndim == 2 else array, hashlib.sha256(content).digest()
