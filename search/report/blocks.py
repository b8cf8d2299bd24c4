"""What sections are made of: text, tables, figures, pictures."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from PIL import Image

from blocks.arch import ArchSpec
from blocks.drawing.layout import Drawn, lay_out
from blocks.drawing.svg import to_svg


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    text: str
    kind: str = "text"


@dataclass(frozen=True)
class Listing:
    """Lines as they are, to be copied."""

    text: str
    kind: str = "listing"


@dataclass(frozen=True)
class Table:
    """Cells by row. `right`: the columns of numbers. A row's `spelling`, if any, can be copied.
    `folded`: what a click unfolds it by."""

    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    spellings: Sequence[str] = ()
    folded: str = ""
    kind: str = "table"


@dataclass(frozen=True)
class Figure:
    """A figure of plotly: `data` and `layout`. `name` is its id, `says` what it shows in words.
    Points of `networks` have their spelling and the name of their drawing as custom data."""

    name: str
    figure: dict[str, Any]
    says: str
    networks: bool = False
    height: int = 420
    kind: str = "figure"


@dataclass(frozen=True)
class Picture:
    """An image in the page: a data URI, or none where there was no room for it."""

    uri: str
    says: str
    path: str
    kind: str = "picture"


@dataclass(frozen=True)
class Drawing:
    """A network's drawing, as SVG in the page."""

    svg: str
    spelling: str = ""
    kind: str = "drawing"


Block = Text | Listing | Table | Figure | Picture | Drawing


@dataclass
class Section:
    """A heading and what is below it."""

    key: str
    title: str
    blocks: list[Block] = field(default_factory=list)


WIDEST: Final = 1000
"""Pixels of a picture in a report."""


@dataclass
class Room:
    """How many bytes of pictures a report still takes."""

    left: int = 600_000

    def picture(self, path: Path, says: str, shown: str) -> Picture:
        """The image of a file, smaller, if there is room for it; `shown` is its path to read."""
        with Image.open(path) as opened:
            image = opened.convert("RGB")
        image.thumbnail((WIDEST, 4 * WIDEST))
        content = io.BytesIO()
        image.save(content, "WEBP", quality=70, method=4)
        size = len(content.getvalue()) * 4 // 3
        if size > self.left:
            return Picture("", says, shown)
        self.left -= size
        encoded = base64.b64encode(content.getvalue()).decode()
        return Picture(f"data:image/webp;base64,{encoded}", says, shown)


def drawing(name: str, arch: ArchSpec, num_classes: int, brief: bool = False) -> str:
    """A network as SVG for a page, `brief` without hints and legend."""
    return to_svg(lay_out([Drawn(name, arch, num_classes)], brief), alone=False)
