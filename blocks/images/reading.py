"""How image files become pixels; a network must see at work what it saw when it was trained."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Final


@dataclass(frozen=True)
class Reading:
    """How the pixels of a file become bytes.

    `background`: what transparent pixels are laid on, and what `pad` fills with. `span`: the
    values of more than 8 bits that become 0 and 255; None: those that the type holds, 0 and 1 of
    floating point. `resize`: the centre is cut out (`crop`), the rest is filled (`pad`),
    or sides are changed each by its own (`squash`). `channels`: those that every image is brought
    to; None: as it is. Without `enlarge` an image that is smaller keeps its size, in the middle of
    the background. `interpolation`: bilinear or bicubic, as Pillow does it. `crop`: the part of the
    side that is the shorter that the centre keeps. `image_size`: height and width in pixels that
    a file is decoded to, from where it is resized to the network's input (antialiased bilinear);
    None: it is decoded to the input at once.
    """

    background: str = "white"
    span: tuple[float, float] | None = None
    resize: str = "crop"
    channels: int | None = None
    enlarge: bool = True
    interpolation: str = "bilinear"
    crop: float = 1.0
    image_size: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        if self.interpolation not in INTERPOLATIONS:
            raise ValueError(
                f"interpolation {self.interpolation!r} is unknown; expected "
                f"{' or '.join(INTERPOLATIONS)}"
            )
        if not 0 < self.crop <= 1:
            raise ValueError(f"crop {self.crop} is not a fraction of more than 0 and at most 1")


INTERPOLATIONS: Final = ("bilinear", "bicubic")
USUAL: Final = Reading()
"""How a search reads the images that it trains and tests on: all of the centre."""
PUBLISHED: Final = Reading(interpolation="bicubic", crop=224 / 256)
"""How published networks are evaluated, in most papers and in timm."""


def decoded_to(reading: Reading, height: int, width: int) -> Reading:
    """The same, of files that were decoded to this size."""
    return replace(reading, image_size=(height, width))


def reading_to_mapping(reading: Reading) -> dict[str, Any]:
    """What differs from the defaults, as YAML holds it."""
    plain = asdict(USUAL)
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in asdict(reading).items()
        if value != plain[name]
    }


def whole_mapping(reading: Reading) -> dict[str, Any]:
    """All of it, for files that others read too."""
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in asdict(reading).items()
    }


def reading_from(content: Mapping[str, Any]) -> Reading:
    """What `reading_to_mapping` made.

    Raises:
        TypeError, ValueError: it is something else.
    """
    values = dict(content)
    if values.get("span") is not None:
        low, high = map(float, values["span"])
        values["span"] = (low, high)
    if values.get("image_size") is not None:
        height, width = map(int, values["image_size"])
        values["image_size"] = (height, width)
    if "crop" in values:
        values["crop"] = float(values["crop"])
    return Reading(**values)
