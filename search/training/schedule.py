"""What changes over a training: the size of its images, its learning rate, its average's decay."""

import math

from blocks.arch import Size
from search.config.schema import ProxyConfig


def size_of(size: Size, start: float, epoch: int, epochs: int) -> Size:
    """What size images have in an epoch (from 0): from the share `start` of both sides
    linearly to all of it in the last (progressive resizing, as in EfficientNetV2, §4.2)."""
    if epochs == 1:
        return size
    return size.scaled(start + (1 - start) * epoch / (epochs - 1))


def macs_share(proxy: ProxyConfig) -> float:
    """Of the macs of a training at full resolution, the share that a proxy's images leave."""
    sizes = [
        size_of(proxy.size, proxy.start_resolution, epoch, proxy.whole_epochs)
        for epoch in range(proxy.whole_epochs)
    ]
    share: float = sum(size.area for size in sizes) / len(sizes) / proxy.size.area
    return share


def warmup_cosine(step: int, steps: int, warmup_fraction: float) -> float:
    """Factor of the learning rate: linear rise over the warm-up, then half a cosine to 0."""
    warmup = warmup_fraction * steps
    if step < warmup:
        return (step + 1) / math.ceil(warmup)
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1.0, steps - warmup)))


def average_decay(most: float, step: int) -> float:
    """Decay of averaged weights after a step: min(most, (1 + t) / (10 + t)), as in TensorFlow's."""
    return min(most, (1 + step) / (10 + step))
