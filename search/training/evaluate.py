"""How good a network is on a split."""

from collections.abc import Iterator
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor

from blocks.network import Network
from search.data.batches import Batches
from search.data.splits import Split

EVALUATED: Final = 256
"""Images that are judged at once."""


@torch.inference_mode()
def evaluate(network: Network, batches: Batches, split: Split) -> tuple[float, float]:
    """Top-1 accuracy (fraction) and mean cross-entropy (nats) of `network` on `split`."""
    correct = 0
    loss = 0.0
    for logits, labels in logits_of(network, batches, split):
        correct += int((logits.argmax(1) == labels).sum())
        loss += F.cross_entropy(logits, labels, reduction="sum").item()
    return correct / len(split), loss / len(split)


def logits_of(network: Network, batches: Batches, split: Split) -> Iterator[tuple[Tensor, Tensor]]:
    """Logits (≤ `EVALUATED`, classes), on the CPU, and labels, of all images in order."""
    network.eval()
    device = next(network.parameters()).device
    for images, labels in zip(
        torch.split(split.images, EVALUATED), torch.split(split.labels, EVALUATED), strict=True
    ):
        logits: Tensor = network(batches.normalise(images).to(device)).cpu()
        yield logits, labels
