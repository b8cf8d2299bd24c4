"""What the augmentations do to these images: each alone, and all that are on."""

from dataclasses import replace
from typing import Any, Final

import torch
from torch import Tensor

from search.config.schema import CROP, ProxyConfig
from search.data.augment import Augmentation, augment, cut_and_mix
from search.data.batches import Batches, prepare
from search.data.splits import ImageData
from search.look.sheets import COLUMNS, Row, sheet, spaced
from search.training.train import augmentation_of

USUAL_RAND_AUGMENT: Final = 5.0
USUAL_CUTOUT: Final = 4
"""Of the side, the share of a usual square: a quarter."""
USUAL_MIXUP: Final = 0.2
USUAL_CUTMIX: Final = 1.0


def augmented_sheet(data: ImageData, proxy: ProxyConfig) -> bytes:
    """PNG of ten training images, the same in each row: as they are, by each augmentation alone, at
    its setting or, where that is off, at a usual value; then by all that are on."""
    batches = prepare(data, proxy.size)
    chosen = spaced(len(data.train.labels))
    # By class, so that a few are of many.
    order = chosen if data.several else data.train.labels.argsort(stable=True)[chosen]
    images, labels = batches.train.images[order], batches.train.labels[order]
    on = augmentation_of(proxy)
    rows = [Row(("as they are",), images)]
    for name, usual in usual_values(proxy.size.shorter).items():
        value = getattr(on, name)
        shown = value or usual
        said = f"{name}={_said(shown)}"
        rows.append(
            Row(
                (said,) if value else (said, "off; a usual value"),
                _augmented(batches, images, labels, replace(Augmentation(), **{name: shown})),
            )
        )
    rows.append(Row(("as training is set",), _augmented(batches, images, labels, on)))
    return sheet(rows)


def usual_values(side: int) -> dict[str, Any]:
    """Of each augmentation one that is usual, for images of this shorter side."""
    return {
        "flip": True,
        "crop_padding": max(1, round(side / CROP)),
        "rand_augment": USUAL_RAND_AUGMENT,
        "cutout": max(1, side // USUAL_CUTOUT),
        "mixup": USUAL_MIXUP,
        "cutmix": USUAL_CUTMIX,
    }


def _augmented(
    batches: Batches, images: Tensor, labels: Tensor, augmentation: Augmentation
) -> Tensor:
    """Each image out of a batch of its own draw, as training would see it: uint8 (n, C, H, W)."""
    seen = []
    for column in range(min(COLUMNS, len(images))):
        generator = torch.Generator().manual_seed(column)
        batch = batches.normalise(augment(images, augmentation, generator))
        batch, _ = cut_and_mix(batch, labels, int(labels.max()) + 1, augmentation, generator)
        seen.append(batch[column])
    pixels = torch.stack(seen) * batches.std + batches.mean
    return pixels.round().clamp(0, 255).to(torch.uint8)


def _said(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else f"{value:g}"
