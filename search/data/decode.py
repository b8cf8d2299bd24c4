"""Image files decoded, on all cores, a few thousand at a time."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from blocks.arch import Size
from blocks.images.decode import Span, span_of
from blocks.images.inputs import decode_at
from blocks.images.listing import ImageFile
from blocks.images.reading import USUAL, Reading
from blocks.names import counted
from blocks.threads import side_by_side
from search.config.schema import DatasetConfig
from search.data.stored import Stored, Streamed
from search.errors import DataError

_ONE: Final = {"are": "is", "have": "has", "lie": "lies", "hold": "holds"}
BLANK: Final = "are of one colour throughout"
_STACKED: Final = 256
_ALIKE: Final = 16
"""Whole numbers and floats beside one another have a common range where the greatest value of one
kind is at most so many times that of the other."""
Pixels = NDArray[np.uint8]


def decode_files(
    files: Sequence[ImageFile],
    reading: Reading,
    image_size: Size,
    on_corrupt: str,
    hashes: Sequence[str] | None = None,
) -> Stored:
    """Decode files, on all cores. `hashes`: their SHA-256 in hex, where known.

    Of each number of channels C the images `pixels.C`, uint8 (n, H, W, C), and their positions
    among the files, `rows.C`; the fields are `hashes` and `passed`, pairs of a position and what
    is of it, and `notes`, how often each.

    Raises:
        DataError: an image that cannot be decoded, unless on_corrupt is skip.
    """

    def attempt(file: ImageFile) -> tuple[Pixels, str, tuple[str, ...]] | DataError:
        try:
            pixels, content, notes = decode_file(file.path, image_size, reading)
        except DataError as error:
            return error
        return pixels, "" if hashes is not None else hashlib.sha256(content).hexdigest(), notes

    pixels: dict[int, list[Pixels]] = {}
    rows: dict[int, list[int]] = {}
    known: list[tuple[int, str]] = []
    passed: list[tuple[int, str]] = []
    notes: Counter[str] = Counter()
    # Closed, or after a refusal the threads would decode what is left before the program ends.
    with closing(side_by_side(attempt, files)) as attempts:
        for number, found in enumerate(attempts):
            if isinstance(found, DataError):
                if on_corrupt == "refuse":
                    raise DataError(f"{found}; dataset.on_corrupt=skip leaves such files out")
                passed.append((number, reason_of(found, files[number].path)))
                continue
            image, digest, said = found
            channels = image.shape[2]
            pixels.setdefault(channels, []).append(image)
            rows.setdefault(channels, []).append(number)
            known.append((number, digest if hashes is None else hashes[number]))
            notes.update(said)
    tensors: dict[str, Tensor | Streamed] = {}
    for channels, images in pixels.items():
        tensors[f"pixels.{channels}"] = _stacked(images)
        tensors[f"rows.{channels}"] = torch.tensor(rows[channels])
    return Stored(tensors, {"hashes": known, "passed": passed, "notes": dict(notes)})


def _stacked(images: Sequence[Pixels]) -> Streamed:
    """A few at a time, so that they are not in memory twice."""
    return Streamed(
        torch.uint8,
        (len(images), *images[0].shape),
        lambda: (
            # PyTorch's leaves Python's lock to the threads that decode.
            torch.stack([torch.from_numpy(image) for image in images[first : first + _STACKED]])
            for first in range(0, len(images), _STACKED)
        ),
    )


def noted(count: int, note: str) -> str:
    """How many images a note is of: `1 image is of one colour throughout`."""
    verb, _, rest = note.partition(" ")
    one = f"{_ONE.get(verb, verb)} {rest}"
    return counted(count, f"image {one}", f"images {note}")


def reason_of(error: DataError, path: Path) -> str:
    """Why a file could not be read; its path is said beside it."""
    said = str(error).replace(f" {str(path)!r}", "").replace(f" {path}", "")
    return said.removeprefix("cannot decode image: ")


def decode_file(
    path: Path,
    image_size: Size,
    reading: Reading = USUAL,
) -> tuple[Pixels, bytes, tuple[str, ...]]:
    """The image at `image_size`, uint8 (H, W, C); the bytes of its file; what is
    to be said of it.

    Raises:
        DataError: see `blocks.images.decode.open_image`.
    """
    pixels, opened = decode_at(path, image_size, reading, DataError)
    notes = opened.notes
    if pixels.min() == pixels.max():
        notes = (*notes, BLANK)
    return pixels, opened.content, notes


def settle_reading(config: DatasetConfig, files: Sequence[ImageFile]) -> tuple[Reading, list[str]]:
    """How files are read, and what is to be said of it.

    With `dataset.range=auto` the values of more than 8 bits of all files together are measured:
    the least becomes black, the greatest white.

    Raises:
        DataError: with `auto`, whole numbers beside floats of quite another range.
    """
    reading = Reading(config.background, None, config.resize, config.channels, config.enlarge)
    if config.range not in ("auto", "type"):
        low, high = (float(end) for end in config.range.split(".."))
        return replace(reading, span=(low, high)), []
    if config.range == "type":
        return reading, []
    with closing(side_by_side(_span, files)) as measured:
        found = list(measured)
    spans = [span for span in found if isinstance(span, Span)]
    if not spans:
        return reading, []
    most = sorted(
        max((abs(end) for span in spans if span.floats == floats for end in span[:2]), default=0.0)
        for floats in (False, True)
    )
    if most[0] and most[1] > _ALIKE * most[0]:
        raise DataError(_mixed(files, found))
    low, high = min(span.low for span in spans), max(span.high for span in spans)
    if low == high:
        high = low + 1
    note = (
        f"{counted(len(spans), 'image has', 'images have')} more than 8 bits: {low:g} becomes "
        f"black and {high:g} white (dataset.range=auto)"
    )
    if plain := found.count(None):
        note += f"; {counted(plain, 'image')} of 8 bits beside them keep 0 to 255"
    return replace(reading, span=(low, high)), [note]


def _mixed(files: Sequence[ImageFile], found: Sequence[Span | DataError | None]) -> str:
    """That whole numbers and floats lie beside one another."""
    said = []
    for floats, words in ((False, "whole numbers of more than 8 bits"), (True, "floats")):
        own = [
            (file, span)
            for file, span in zip(files, found, strict=True)
            if isinstance(span, Span) and span.floats == floats
        ]
        low, high = min(span.low for _, span in own), max(span.high for _, span in own)
        said.append(f"{len(own):,} of {words} ({low:g} to {high:g}, first {own[0][0].name})")
    return (
        f"images of two kinds have no common range: {' and '.join(said)}; dataset.range=type takes "
        "each by its own type (floats: 0 to 1), or convert them to one"
    )


def _span(file: ImageFile) -> Span | DataError | None:
    try:
        return span_of(file.path, DataError)
    except DataError as error:
        return error  # it is refused, or passed over, when it is decoded
