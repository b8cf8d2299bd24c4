"""The published network beside which a search stands."""

from dataclasses import replace

from blocks.arch import ArchSpec
from blocks.errors import ArchError
from blocks.zoo import find_arch
from search.config.schema import RunConfig


def reference_arch(config: RunConfig, in_channels: int) -> ArchSpec | None:
    """The published network that the same proxy is to train, at the data's size and channels.

    None: none is wanted, or the images are too small for its strides.
    """
    if config.search.reference is None:
        return None
    try:
        return replace(
            find_arch(config.search.reference),
            resolution=config.proxy.resolution,
            in_channels=in_channels,
        )
    except ArchError:
        return None
