"""Of `search plan`: images and GPUs that are not here, in numbers."""

from dataclasses import dataclass
from typing import Final

PREFIX: Final = "elsewhere."
"""Before the names of these settings."""


@dataclass(frozen=True)
class Elsewhere:
    """Images and GPUs that `plan` counts with, instead of measuring here."""

    images: int = 0  # training images
    val_images: int = 0  # validation images
    classes: int = 0  # of them
    channels: int = 3  # of an image
    image_kb: float = 110.0  # of an image's file; ImageNet's mean is 110
    step_ms: float = 0.0  # of a training step there, measured
    step_images: int = 64  # of that step
    step_arch: str = "efficientnet_b0"  # which network it was of, at proxy.resolution
    gpus: int = 8  # each of which trains one candidate
    node_gpus: int = 8  # of a node
