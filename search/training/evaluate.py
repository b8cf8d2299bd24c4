"""How good a network is on a split."""

from collections.abc import Iterator
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor

from blocks.network import Network
from search.data.batches import Batches
from search.data.loading import pieces
from search.data.splits import Split
from search.training.deadline import check_deadline
from search.training.label_metrics import (
    LabelScores,
    best_threshold,
    label_losses,
    macro_f1,
    mean_average_precision,
    probability,
)
from search.training.metrics import Scores, confusion_of, mean_over_classes

EVALUATED: Final = 256
"""Images that are judged at once."""


@torch.inference_mode()
def evaluate(
    network: Network, batches: Batches, split: Split, at_once: int = EVALUATED
) -> Scores | LabelScores:
    """How `network` does on `split`, so many images `at_once`; of images with several labels, at
    the threshold that is best on the validation images."""
    if split.labels.ndim == 2:
        return _evaluate_labels(network, batches, split, at_once)
    loss = 0.0
    answers, losses = [], []
    for logits, labels in logits_of(network, batches, split, at_once):
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


def _evaluate_labels(network: Network, batches: Batches, split: Split, at_once: int) -> LabelScores:
    logits = all_logits(network, batches, batches.val, at_once)
    threshold = best_threshold(logits.numpy(), batches.val.labels.numpy())
    if split is not batches.val:
        logits = all_logits(network, batches, split, at_once)
    scores, truth = logits.numpy(), split.labels.numpy()
    answers = scores > threshold
    return LabelScores(
        accuracy=float((answers == truth).all(1).mean()),
        loss=label_losses(logits, split.labels).mean(dtype=torch.float64).item(),
        map=mean_average_precision(scores, truth),
        macro_f1=macro_f1(answers, truth),
        threshold=probability(threshold),
    )


def all_logits(
    network: Network, batches: Batches, split: Split, at_once: int = EVALUATED
) -> Tensor:
    """(images, classes), on the CPU."""
    return torch.cat([logits for logits, _ in logits_of(network, batches, split, at_once)])


def logits_of(
    network: Network, batches: Batches, split: Split, at_once: int = EVALUATED
) -> Iterator[tuple[Tensor, Tensor]]:
    """Logits (≤ `at_once`, classes), on the CPU, and labels, of all images in order."""
    network.eval()
    device = next(network.parameters()).device
    for images, labels in zip(
        pieces(split, at_once), torch.split(split.labels, at_once), strict=True
    ):
        check_deadline()
        logits: Tensor = network(batches.normalise(images).to(device)).cpu()
        yield logits, labels
