"""Images decoded: a whole folder on all cores, or one file."""

import contextlib
import hashlib
import os
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from blocks.images.decode import IMAGE_SUFFIXES, centre_square, open_image
from search.data.folder import ImageFile, ImageFolder
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
    """The image, its shorter side resized to `image_size` and its centre cut out; its hash.

    Raises:
        DataError: see `blocks.images.decode.open_image`.
    """
    image, content = open_image(path, DataError)
    if max(image.size) > LONGEST * min(image.size):
        # A line of pixels would be made an image of gigabytes, to be cut off again.
        width, height = (min(side, LONGEST * min(image.size)) for side in image.size)
        left, top = (image.width - width) // 2, (image.height - height) // 2
        image = image.crop((left, top, left + width, top + height))
    pixels = centre_square(image, image_size, Image.Resampling.BILINEAR)
    return pixels, hashlib.sha256(content).digest()
