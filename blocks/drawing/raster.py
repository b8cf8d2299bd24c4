"""A picture as PNG, by matplotlib, on white."""

from typing import Final

import matplotlib.patches
from matplotlib.axes import Axes

from blocks.drawing.shapes import LIGHT, Picture, Rectangle, Text
from blocks.errors import CompoundNasError
from blocks.figure import new_figure, png

_POINTS: Final = 0.72
"""Points of a font a pixel, where 100 pixels are an inch."""

_LARGEST: Final = 40_000


def to_png(picture: Picture) -> bytes:
    """The picture as PNG, 1.5 pixels for one of the layout.

    Raises:
        CompoundNasError: it is larger than matplotlib can make one.
    """
    if max(picture.width, picture.height) > _LARGEST:
        raise CompoundNasError(
            f"the picture is {picture.width:.0f}×{picture.height:.0f} pixels, too large for PNG "
            f"(at most {_LARGEST} on a side); expected a file that ends in .svg"
        )
    figure = new_figure(picture.width / 100, picture.height / 100)
    figure.set_layout_engine("none")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_xlim(0, picture.width)
    axes.set_ylim(picture.height, 0)
    axes.set_axis_off()
    for order, shape in enumerate(picture.shapes):
        if isinstance(shape, Rectangle):
            axes.add_patch(_patch(shape, order))
        else:
            _write(axes, shape, order)
    return png(figure)


def _patch(shape: Rectangle, order: int) -> matplotlib.patches.Patch:
    style = {
        "facecolor": _colour(shape.fill),
        "edgecolor": _colour(shape.stroke),
        "linewidth": 1.4 if shape.thick else 0.7,
        "linestyle": "--" if shape.dashed else "-",
        "zorder": order,
    }
    if not shape.radius:
        return matplotlib.patches.Rectangle(
            (shape.x, shape.y),
            shape.width,
            shape.height,
            **style,  # type: ignore[arg-type]
        )
    return matplotlib.patches.FancyBboxPatch(
        (shape.x, shape.y), shape.width, shape.height,
        boxstyle=matplotlib.patches.BoxStyle.Round(pad=0, rounding_size=shape.radius),
        **style,  # type: ignore[arg-type]
    )  # fmt: skip


def _write(axes: Axes, shape: Text, order: int) -> None:
    axes.text(
        shape.x, shape.y, shape.text, fontsize=shape.size * _POINTS, zorder=order,
        ha={"start": "left", "middle": "center", "end": "right"}[shape.anchor],
        va="baseline", color=_colour(shape.fill), weight="bold" if shape.bold else "normal",
        parse_math=False,
    )  # fmt: skip


def _colour(name: str | None) -> str:
    return "none" if name is None else LIGHT.get(name, name)
