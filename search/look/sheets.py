"""Contact sheets: images in rows, what a row is at its left."""

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from blocks.arch import Size
from blocks.figure import INK, font_file
from search.data.splits import ImageData

COLUMNS: Final = 10
ROWS_A_PAGE: Final = 30
_GAP: Final = 4
_LEAST, _MOST = 48, 96
"""Pixels of the side that an image is drawn with."""
_LABEL: Final = 190
_LETTERS: Final = 24


@dataclass(frozen=True)
class Row:
    """`lines` are at the left; `images` uint8 (n, C, H, W)."""

    lines: tuple[str, ...]
    images: Tensor


def class_sheets(data: ImageData) -> Iterator[bytes]:
    """PNG pages of the training images, a row per class: some of each, evenly spaced."""
    rows = [
        Row((name, f"{len(members)} in train"), data.train.images[members[spaced(len(members))]])
        for name, members in (
            (name, _members(data, label)) for label, name in enumerate(data.classes)
        )
    ]
    for start in range(0, len(rows), ROWS_A_PAGE):
        yield sheet(rows[start : start + ROWS_A_PAGE])


def _members(data: ImageData, label: int) -> Tensor:
    """Rows of train that have it."""
    labels = data.train.labels
    own = labels[:, label] > 0 if data.several else labels == label
    return own.nonzero().flatten()


def spaced(count: int, wanted: int = COLUMNS) -> Tensor:
    """Positions among so many, evenly spaced; all where they are no more than `wanted`."""
    few = min(count, wanted)
    return torch.arange(few) * count // max(1, few)


def sheet(rows: Sequence[Row]) -> bytes:
    """PNG of the rows, one below the other."""
    largest = Size(*max((row.images.shape[-2:] for row in rows), key=max))
    drawn_at = largest.scaled(max(_LEAST, min(_MOST, largest.longer)) / largest.longer)
    columns = max(len(row.images) for row in rows)
    step, down = drawn_at.width + _GAP, drawn_at.height + _GAP
    page = Image.new("RGB", (_LABEL + columns * step, len(rows) * down + _GAP), "white")
    draw = ImageDraw.Draw(page)
    font = ImageFont.truetype(font_file(), 12)
    for number, row in enumerate(rows):
        top = _GAP + number * down
        text = "\n".join(_short(line) for line in row.lines)
        draw.text((_GAP, top + drawn_at.height // 2), text, fill=INK, font=font, anchor="lm")
        for column, image in enumerate(row.images):
            drawn = picture(image).resize(drawn_at[::-1], Image.Resampling.BILINEAR)
            page.paste(drawn, (_LABEL + column * step, top))
    content = io.BytesIO()
    page.save(content, "PNG")
    return content.getvalue()


def picture(image: Tensor) -> Image.Image:
    """uint8 (C, H, W) for people: grey, or the first three channels as red, green, blue."""
    if image.shape[0] < 3:
        return Image.fromarray(image[0].numpy()).convert("RGB")
    return Image.fromarray(image[:3].permute(1, 2, 0).contiguous().numpy())


def _short(line: str) -> str:
    return line if len(line) <= _LETTERS else line[: _LETTERS - 1] + "…"
