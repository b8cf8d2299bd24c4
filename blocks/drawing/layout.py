"""Where the shapes of a network's picture stand.

A column each for stem, stages and head. The box's height is in proportion to the height of the map
that leaves it, its width to the square root of its channels; both by the same scale for two
networks, of which the second stands below the first, corresponding stages in one column.
"""

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from blocks.arch import ArchSpec
from blocks.cost import count
from blocks.drawing.columns import (
    Column,
    columns_of,
    describe_pair,
    describe_whole,
    differing,
    pair,
)
from blocks.drawing.shapes import (
    CHANGED,
    KERNEL_COLOURS,
    Picture,
    Rectangle,
    Shape,
    Text,
    fitting,
    kernel_colour,
)

MARGIN: Final = 12.0
COLUMN: Final = 78.0
BOX: Final = (58.0, 120.0)
"""Width of the most channels and height of the highest map."""
LEAST: Final = 1.5
"""A box's sides are at least that."""
LINE: Final = 14.0
BAR: Final = 8.0
BEHIND: Final = 3.0
MOST_BEHIND: Final = 4


@dataclass(frozen=True)
class Drawn:
    """A network to draw: its name, what it is, and the number of its classes."""

    name: str
    arch: ArchSpec
    num_classes: int


def lay_out(networks: Sequence[Drawn], brief: bool = False) -> Picture:
    """The picture of one network, or of two below one another with what differs marked; `brief`
    without a legend, and without what a pointer reads."""
    rows = [columns_of(each.arch, each.num_classes) for each in networks]
    pairs: list[tuple[Column | None, Column | None]]
    if len(rows) == 2:
        pairs = pair(*rows)
        placed = [[one for one, _ in pairs], [other for _, other in pairs]]
        marked = [_marks(one, other) for one, other in pairs]
    else:
        placed, marked = [list(rows[0])], [frozenset[str]() for _ in rows[0]]
    width = 2 * MARGIN + COLUMN * max(6, len(placed[0]))
    scale = _Scale.of([column for row in rows for column in row])
    shapes: list[Shape] = []
    y = MARGIN
    for drawn, row in zip(networks, placed, strict=True):
        shapes += _heading(drawn, y, width)
        y += 38 + MOST_BEHIND * BEHIND
        shapes += _row(row, marked, y, scale)
        y += BOX[1] + 5 * LINE + BAR + 34
    differences: list[str] = []
    if len(networks) == 2:
        differences = [said for one, other in pairs if (said := describe_pair(one, other))]
        differences += describe_whole(networks[0].arch, networks[1].arch)
        lines = _wrapped(differences or ["the two are equal"], width)
        for number, line in enumerate(lines):
            shapes.append(Text(MARGIN, y + LINE * number, line, anchor="start"))
        y += LINE * len(lines) + 6
    if brief:
        y -= 2 * LINE
        shapes = [
            replace(each, hint="") if isinstance(each, Rectangle) else each for each in shapes
        ]
    else:
        shapes += _legend(y, bool(differences), rows)
    return Picture(
        width,
        y + 2 * LINE + MARGIN,
        tuple(shapes),
        " and ".join(each.name for each in networks),
        "; ".join([*(str(each.arch) for each in networks), *differences]),
    )


@dataclass(frozen=True, slots=True)
class _Scale:
    """What the largest box and bar stand for."""

    channels: int
    height: int
    macs: int

    @classmethod
    def of(cls, columns: Sequence[Column]) -> "_Scale":
        return cls(
            max(column.channels for column in columns),
            max(column.leaves.height for column in columns),
            max(1, *(column.macs for column in columns)),
        )

    def box(self, column: Column) -> tuple[float, float]:
        wide = BOX[0] * (column.channels / self.channels) ** 0.5
        return max(LEAST, wide), max(LEAST, BOX[1] * column.leaves.height / self.height)


def _marks(one: Column | None, other: Column | None) -> frozenset[str]:
    return frozenset() if one is None or other is None else frozenset(differing(one, other))


def _heading(drawn: Drawn, y: float, width: float) -> list[Shape]:
    cost, arch = count(drawn.arch, drawn.num_classes), drawn.arch
    channels = f"{arch.in_channels} channel{'s' if arch.in_channels > 1 else ''}"
    facts = (
        f"{_short(cost.macs)} macs · {_short(cost.params)} parameters · "
        f"{arch.image.height}×{arch.image.width} px, {channels} · {arch.act} · "
        f"{drawn.num_classes:,} classes"
    )
    inner = width - 2 * MARGIN
    return [
        Text(MARGIN, y + 13, fitting(drawn.name, inner, 14), 14, "start", bold=True),
        Text(MARGIN, y + 29, fitting(facts, inner, 10), 10, "start", fill="faint"),
    ]


def _row(
    row: Sequence[Column | None], marked: Sequence[frozenset[str]], y: float, scale: _Scale
) -> Iterator[Shape]:
    """Columns beside one another; `y` is where the highest box begins."""
    total = sum(column.macs for column in row if column is not None) or 1
    for number, (column, marks) in enumerate(zip(row, marked, strict=True)):
        left = MARGIN + COLUMN * number
        if column is None:
            yield Rectangle(left + 8, y, COLUMN - 16, BOX[1], None, CHANGED, "absent", "", 3, True)
            yield Text(left + COLUMN / 2, y + BOX[1] / 2, "none", fill="faint")
            continue
        yield from _box(column, marks, left, y, scale)
        yield from _labels(column, marks, left, y + BOX[1] + LINE)
        yield from _bar(column, left, y + BOX[1] + 5 * LINE + 6, total, scale)


def _box(
    column: Column, marks: frozenset[str], left: float, y: float, scale: _Scale
) -> Iterator[Shape]:
    width, height = scale.box(column)
    x, top = left + (COLUMN - width) / 2, y + BOX[1] - height
    colour = kernel_colour(column.kernel)
    for behind in range(min(column.repeats - 1, MOST_BEHIND), 0, -1):
        shift = behind * BEHIND
        yield Rectangle(x + shift, top - shift, width, height, colour, "ink", "behind")
    if marks:
        yield Rectangle(
            left + 3, y - MOST_BEHIND * BEHIND - 2, COLUMN - 6,
            BOX[1] + MOST_BEHIND * BEHIND + 6, None, CHANGED, "changed", radius=4, thick=True,
        )  # fmt: skip
    facts = ", ".join(f"{name} {value}" for name, value in column.facts.items())
    hint = f"{column.name}: {facts}, macs {column.macs:,}"
    yield Rectangle(x, top, width, height, colour, "ink", column.name, hint)


def _labels(column: Column, marks: frozenset[str], left: float, y: float) -> Iterator[Shape]:
    middle = left + COLUMN / 2
    times = f" ×{column.repeats}" if column.repeats > 1 else ""
    name = column.name.removeprefix("stage ")
    yield Text(middle, y, f"{name} {column.kind}{times}", 11, bold=True)
    lines = [
        (f"k{column.kernel} s{column.stride} c{column.channels}", {"kernel", "stride", "channels"}),
        (f"map {column.leaves}", {"map"}),
    ]
    for number, (text, names) in enumerate(lines, 1):
        changed = bool(marks & names)
        yield Text(middle, y + LINE * number, fitting(text, COLUMN + 8, 10), 10, bold=changed)
    badges = []
    if column.expand_ratio != 1:
        badges.append((f"e{column.expand_ratio:g}", "expansion"))
    if column.se_ratio:
        badges.append((f"SE {column.se_ratio:g}", "squeeze-excite"))
    widths = [6.0 * len(text) + 6 for text, _ in badges]
    x = middle - (sum(widths) + 3 * max(0, len(badges) - 1)) / 2
    for (text, fact), width in zip(badges, widths, strict=True):
        stroke = CHANGED if fact in marks else "faint"
        yield Rectangle(
            x, y + LINE * 2.4, width, 13, None, stroke, fact, radius=6, thick=fact in marks
        )
        yield Text(x + width / 2, y + LINE * 2.4 + 9.7, text, 9, bold=fact in marks)
        x += width + 3
    if not badges and marks & {"expansion", "squeeze-excite"}:
        yield Rectangle(middle - 16, y + LINE * 2.4, 32, 13, None, CHANGED, "absent", "", 6, True)


def _bar(column: Column, left: float, y: float, total: int, scale: _Scale) -> Iterator[Shape]:
    """The macs of a column: the bar against the costliest of all, the number of its network."""
    whole = COLUMN - 12
    hint = f"{column.macs:,} macs"
    yield Rectangle(left + 6, y, whole, BAR, None, "faint", "track")
    yield Rectangle(left + 6, y, whole * column.macs / scale.macs, BAR, "ink", None, "macs", hint)
    share = (
        f"{column.macs / total:.1%}"
        if column.macs < 0.1 * total
        else (f"{column.macs / total:.0%}")
    )
    yield Text(left + COLUMN / 2, y + BAR + 11, f"{share} of macs", 9, fill="faint")


def _legend(y: float, changes: bool, rows: Sequence[Sequence[Column]]) -> Iterator[Shape]:
    used = {min(column.kernel, max(KERNEL_COLOURS)) for row in rows for column in row}
    x = MARGIN
    for kernel, colour in KERNEL_COLOURS.items():
        if kernel not in used:
            continue
        more = " and over" if kernel == max(KERNEL_COLOURS) else ""
        text = f"kernel {kernel}{more}"
        yield Rectangle(x, y, 10, 10, colour, "ink", "legend")
        yield Text(x + 14, y + 9, text, 10, "start")
        x += 22 + 6.0 * len(text)
    if changes:
        yield Rectangle(x, y, 10, 10, None, CHANGED, "legend", thick=True)
        yield Text(x + 14, y + 9, "differs", 10, "start")
    said = "height: the map's; width: root of the channels; boxes behind: repeats"
    yield Text(MARGIN, y + 9 + LINE + 2, said, 10, "start", fill="faint")


def _wrapped(parts: Sequence[str], width: float) -> list[str]:
    most = int((width - 2 * MARGIN) / 6.3)
    return [line for part in parts for line in textwrap.wrap(part, most, subsequent_indent="  ")]


def _short(count: int) -> str:
    """A count for people, exact below a thousand."""
    for factor, unit in ((1_000_000_000, "G"), (1_000_000, "M"), (1_000, "k")):
        if count >= factor:
            return f"{count / factor:.2f}{unit}"
    return str(count)
