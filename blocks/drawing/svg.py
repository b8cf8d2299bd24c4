"""A picture as SVG: valid XML, the same bytes for the same picture, light or dark as the reader."""

import re
from collections.abc import Mapping
from html import escape
from typing import Final

from blocks.drawing.shapes import DARK, LIGHT, Picture, Rectangle, Text


def _theme(colours: Mapping[str, str]) -> str:
    return "".join(
        f"svg.network .f-{name}{{fill:{colour}}}svg.network .s-{name}{{stroke:{colour}}}"
        for name, colour in colours.items()
    )


STYLE: Final = f"{_theme(LIGHT)}@media screen and (prefers-color-scheme:dark){{{_theme(DARK)}}}"
"""CSS of the theme's colours: dark where the reader's screen is, light on printed paper."""

FONT: Final = "'DejaVu Sans',Verdana,sans-serif"
_NOT_XML: Final = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def to_svg(picture: Picture, alone: bool = True) -> str:
    """The picture as the text of an SVG file.

    Within an HTML page (`alone=False`) it has no style and no paper of its own: the page has
    `STYLE` once.
    """
    width, height = _number(picture.width), _number(picture.height)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}" role="img" class="network" font-family="{FONT}">',
        f"<title>{clean(picture.title)}</title>",
        f"<desc>{clean(picture.description)}</desc>",
    ]
    if alone:
        lines.append(f"<style>{STYLE}</style>")
        lines.append(f'<rect width="{width}" height="{height}" {_paint("paper", None)}/>')
    lines += [
        _rectangle(shape) if isinstance(shape, Rectangle) else _text(shape)
        for shape in picture.shapes
    ]
    return "\n".join([*lines, "</svg>", ""])


def clean(text: str) -> str:
    """Text for XML: escaped, and without the characters that XML cannot hold."""
    return escape(_NOT_XML.sub("�", text))


def _rectangle(shape: Rectangle) -> str:
    attributes = {
        "x": shape.x, "y": shape.y, "width": shape.width, "height": shape.height,
        **({"rx": shape.radius} if shape.radius else {}),
        **({"stroke-width": 2} if shape.thick else {}),
    }  # fmt: skip
    said = " ".join(f'{name}="{_number(value)}"' for name, value in attributes.items())
    said += ' stroke-dasharray="4 3"' if shape.dashed else ""
    said += f' data-key="{clean(shape.key)}"' if shape.key else ""
    said = f"<rect {said} {_paint(shape.fill, shape.stroke)}"
    return f"{said}><title>{clean(shape.hint)}</title></rect>" if shape.hint else f"{said}/>"


def _text(shape: Text) -> str:
    weight = ' font-weight="bold"' if shape.bold else ""
    return (
        f'<text x="{_number(shape.x)}" y="{_number(shape.y)}" font-size="{_number(shape.size)}" '
        f'text-anchor="{shape.anchor}"{weight} {_paint(shape.fill, None)}>'
        f"{clean(shape.text)}</text>"
    )


def _paint(fill: str | None, stroke: str | None) -> str:
    """Colours as attributes, which every reader of SVG knows, and the theme's by class."""
    said = f'fill="{LIGHT.get(fill, fill) if fill else "none"}"'
    said += f' stroke="{LIGHT.get(stroke, stroke)}"' if stroke else ""
    classes = [f"{kind}-{name}" for kind, name in (("f", fill), ("s", stroke)) if name in LIGHT]
    return said + (f' class="{" ".join(classes)}"' if classes else "")


def _number(value: float) -> str:
    return f"{round(value, 2):g}" if abs(value) < 1e5 else f"{value:.0f}"
