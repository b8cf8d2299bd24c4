"""How image files become pixels; a network must see at work what it saw when it was trained."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final


@dataclass(frozen=True)
class Reading:
    """How the pixels of a file become bytes.

    `background`: what transparent pixels are laid on, and what `pad` fills with. `span`: the
    values of more than 8 bits that become 0 and 255; None: those that the type holds, 0 and 1 of
    floating point. `resize`: the centre is cut out (`crop`), the rest is filled (`pad`),
    or sides are changed each by its own (`squash`). `channels`: those that every image is brought
    to; None: as it is. Without `enlarge` an image that is smaller keeps its size, in the middle of
    the background.
    """

    background: str = "white"
    span: tuple[float, float] | None = None
    resize: str = "crop"
    channels: int | None = None
    enlarge: bool = True


USUAL: Final = Reading()


def reading_to_mapping(reading: Reading) -> dict[str, Any]:
    """What differs from the defaults, as YAML holds it."""
    plain = asdict(USUAL)
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in asdict(reading).items()
        if value != plain[name]
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
    return Reading(**values)
