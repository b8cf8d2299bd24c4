"""What a picture is made of: shapes in pixels, y downward, that SVG and PNG draw alike.

Colours of shapes are fixed; `ink`, `faint` and `paper` are the theme's, light or dark.
"""

from dataclasses import dataclass
from typing import Final

KERNEL_COLOURS: Final = {1: "#bdbdbd", 3: "#f0e442", 5: "#56b4e9", 7: "#d55e00", 9: "#0072b2"}
"""Side of a kernel → its colour, of Okabe and Ito, each darker than the one before, so that grey
tells them apart too. 9 stands for every larger one."""

CHANGED: Final = "#cc79a7"
"""What differs between two networks, also of Okabe and Ito."""

LIGHT: Final = {"ink": "#1a1a1a", "faint": "#767676", "paper": "#ffffff"}
DARK: Final = {"ink": "#f0f0f0", "faint": "#9a9a9a", "paper": "#1b1b1f"}


@dataclass(frozen=True, slots=True)
class Rectangle:
    """`fill` and `stroke` are colours of a theme by name, others as #rrggbb, or None. `key` names
    what it shows; `hint` is what a pointer over it reads."""

    x: float
    y: float
    width: float
    height: float
    fill: str | None
    stroke: str | None = None
    key: str = ""
    hint: str = ""
    radius: float = 0.0
    dashed: bool = False
    thick: bool = False


@dataclass(frozen=True, slots=True)
class Text:
    """Text whose baseline begins, is centred, or ends at (x, y)."""

    x: float
    y: float
    text: str
    size: float = 11.0
    anchor: str = "middle"
    bold: bool = False
    fill: str = "ink"


Shape = Rectangle | Text


@dataclass(frozen=True)
class Picture:
    """Shapes on paper of this size, later ones above earlier; `title` and `description` are for
    those who cannot see it."""

    width: float
    height: float
    shapes: tuple[Shape, ...]
    title: str
    description: str


def kernel_colour(kernel: int) -> str:
    """The colour of a kernel of this side."""
    return KERNEL_COLOURS[min(kernel, max(KERNEL_COLOURS))]


def fitting(text: str, width: float, size: float) -> str:
    """As much of `text` as is about this wide, an ellipsis in the place of the rest."""
    most = max(1, int(width / (0.6 * size)))
    return text if len(text) <= most else text[: most - 1] + "…"
