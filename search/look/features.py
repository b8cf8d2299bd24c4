"""A linear probe on what a trained network makes of the images: its pooled features."""

import torch
from torch import Tensor, nn

from blocks.images.batches import batch_size, match_channels
from blocks.images.read import moments_of
from blocks.messages import say
from blocks.names import counted
from blocks.network import Network
from blocks.subject import Subject
from search.data.batches import shrink
from search.data.splits import PARTS, ImageData
from search.look.linear_probe import Features, Probe, fit_probe


def probe_network(data: ImageData, subject: Subject, network: Network) -> Probe:
    """Fitted on the pooled features of `subject`'s network, at its own resolution.

    The network loses its classifier.

    Images are normalised as the subject says; if it does not, by ImageNet's mean and deviation.

    Raises:
        ExportError: images of channels that the network cannot be given.
    """
    network.classifier = nn.Identity()  # type: ignore[assignment]
    splits = {part: getattr(data, part) for part in PARTS}
    images = sum(len(split) for split in splits.values())
    size = network.arch.image
    say(f"features of {counted(images, 'image')} at {size} px by {subject.name}")
    moments = moments_of(network.arch.in_channels, subject.mean, subject.std)
    found = {part: _pooled(network, split.images, *moments) for part, split in splits.items()}
    labels = {part: split.labels for part, split in splits.items()}
    features = Features(**found, labels=labels, num_classes=data.num_classes)
    return fit_probe(features, f"features of {subject.name}")


@torch.no_grad()
def _pooled(network: Network, images: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """uint8 (N, C, H, W) → float (N, features)."""
    arch = network.arch
    parts = []
    for chunk in torch.split(images, batch_size(arch.image)):
        pixels = chunk.float().contiguous() / 255
        pixels = shrink(match_channels(pixels, arch.in_channels, "the data set"), arch.image)
        found: Tensor = network((pixels - mean) / std)
        parts.append(found)
    return torch.cat(parts)
