"""Other looks at the same image, whose answers are averaged with the plain one's."""

from collections.abc import Callable, Sequence
from typing import Final

import torch.nn.functional as F
from torch import Tensor

CROP: Final = 0.875
"""Of each side, that a crop keeps."""
View = Callable[[Tensor], Tensor]


def plain(images: Tensor) -> Tensor:
    """As it is."""
    return images


def flipped(images: Tensor) -> Tensor:
    """Mirrored, left to right."""
    return images.flip(3)


def _crop(top: float, left: float) -> View:
    """A part of the image, `top` and `left` of what is cut off before it, enlarged to its size."""

    def cut(images: Tensor) -> Tensor:
        height, width = images.shape[2:]
        tall, wide = round(CROP * height), round(CROP * width)
        y, x = round(top * (height - tall)), round(left * (width - wide))
        part = images[:, :, y : y + tall, x : x + wide]
        return F.interpolate(part, (height, width), mode="bilinear", align_corners=False)

    return cut


def _after_flip(view: View) -> View:
    return lambda images: view(flipped(images))


CROPS: Final = tuple(_crop(*place) for place in ((0.5, 0.5), (0, 0), (0, 1), (1, 0), (1, 1)))
"""The centre and the four corners."""
VIEWS: Final[dict[str, tuple[View, ...]]] = {
    "plain": (plain,),
    "flip": (plain, flipped),
    "crops": (plain, *CROPS),
    "flip and crops": (plain, *CROPS, *map(_after_flip, (plain, *CROPS))),
}
"""Name → the looks whose answers are averaged."""


def views_of(names: Sequence[str]) -> list[str]:
    """`plain`, the views that are asked for, and both together."""
    both = ["flip and crops"] if {"flip", "crops"} <= set(names) else []
    return ["plain", *names, *both]
