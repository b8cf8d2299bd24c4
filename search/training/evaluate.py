"""How good a network is on a split."""

from collections.abc import Iterator
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor

from blocks.network import Network
from search.data.batches import Batches
from search.data.splits import Split
from search.training.metrics import Scores, confusion_of, mean_over_classes

EVALUATED: Final = 256
"""Images that are judged at once."""


@torch.inference_mode()
def evaluate(network: Network, batches: Batches, split: Split) -> Scores:
    """How `network` does on `split`."""
    loss = 0.0
    answers, losses = [], []
    for logits, labels in logits_of(network, batches, split):
        answers.append(logits.argmax(1))
        loss += F.cross_entropy(logits, labels, reduction="sum").item()
        losses.append(F.cross_entropy(logits, labels, reduction="none"))
    confusion = confusion_of(torch.cat(answers), split.labels, logits.shape[1])
    return Scores(
        accuracy=int(confusion.right.sum()) / len(split),
        loss=loss / len(split),
        balanced_accuracy=confusion.recall.mean().item(),
        macro_f1=confusion.f1.mean().item(),
        balanced_loss=mean_over_classes(torch.cat(losses), split.labels),
    )


def logits_of(network: Network, batches: Batches, split: Split) -> Iterator[tuple[Tensor, Tensor]]:
    """Logits (≤ `EVALUATED`, classes), on the CPU, and labels, of all images in order."""
    network.eval()
    device = next(network.parameters()).device
    for images, labels in zip(
        torch.split(split.images, EVALUATED), torch.split(split.labels, EVALUATED), strict=True
    ):
        logits: Tensor = network(batches.normalise(images).to(device)).cpu()
        yield logits, labels
