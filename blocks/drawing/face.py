"""`draw`: a network, or two beside each other, as a picture."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from blocks.arch import ArchSpec
from blocks.drawing.layout import Drawn, lay_out
from blocks.drawing.shapes import Picture
from blocks.drawing.svg import to_svg
from blocks.errors import CompoundNasError
from blocks.files import write_whole
from blocks.subject import read_subject

SUFFIXES: Final = (".svg", ".png")


@dataclass(frozen=True)
class Drawing:
    """The picture of one network, or of two. A notebook shows it."""

    picture: Picture

    def svg(self) -> str:
        """SVG, which takes the reader's colours, light or dark."""
        return to_svg(self.picture)

    def png(self) -> bytes:
        """PNG, on white.

        Raises:
            CompoundNasError: hundreds of stages, which no PNG is wide enough for.
        """
        from blocks.drawing.raster import to_png  # matplotlib: SVG needs none of it

        return to_png(self.picture)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write it to a file, whose suffix says as what: .svg or .png.

        Raises:
            CompoundNasError: another suffix, or the file cannot be written.
        """
        target = checked(path)
        write_whole(target, self.svg().encode() if target.suffix == ".svg" else self.png())
        return target

    def _repr_svg_(self) -> str:
        return self.svg()


def draw(
    subject: str | os.PathLike[str] | ArchSpec,
    other: str | os.PathLike[str] | ArchSpec | None = None,
    num_classes: int | None = None,
) -> Drawing:
    """The picture of a network, or of two, the second below the first and what differs marked.

    Each is a name of the zoo, a spelling, an architecture, or a YAML file that a search, a family
    or a training wrote. `num_classes`, where given, is instead of the file's, or of ImageNet's
    1,000.

        draw("efficientnet_b0").save("b0.svg")
        draw("results/main/b0.yaml", "mobilenetv3_small")

    Raises:
        ArchError: `subject` or `other` is none of these.
    """
    named = [subject] if other is None else [subject, other]
    return Drawing(lay_out([_drawn(each, num_classes) for each in named]))


def draw_arch(arch: ArchSpec, name: str, num_classes: int) -> Drawing:
    """The picture of an architecture under a name."""
    return Drawing(lay_out([Drawn(name, arch, num_classes)]))


def checked(path: str | os.PathLike[str]) -> Path:
    """A path that a picture can be written to.

    Raises:
        CompoundNasError: its suffix is neither .svg nor .png.
    """
    target = Path(path)
    if target.suffix not in SUFFIXES:
        raise CompoundNasError(
            f"cannot draw into {str(path)!r}: expected a file that ends in {' or '.join(SUFFIXES)}"
        )
    return target


def _drawn(subject: str | os.PathLike[str] | ArchSpec, num_classes: int | None) -> Drawn:
    found = read_subject(
        str(subject) if isinstance(subject, ArchSpec) else os.fspath(subject), num_classes
    )
    return Drawn(found.name, found.arch, found.num_classes)
