"""The loss of a training: cross-entropy of classes, or binary cross-entropy of labels."""

from collections.abc import Callable
from functools import partial
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor

from search.config.schema import ProxyConfig
from search.training.class_weights import class_weights, cross_entropy

Loss = Callable[[Tensor, Tensor], Tensor]
MOST_WEIGHT: Final = 20.0
"""Times that an image with a rare label counts in the loss of that at most: more, and one image
decides a step."""


def loss_of(proxy: ProxyConfig, labels: Tensor, num_classes: int, device: str) -> Loss:
    """The mean loss of logits (n, num_classes) and a batch's labels; `labels` are those of all
    training images, int64 (N,) or, where an image may have several, uint8 (N, num_classes).

    Of several labels it is the mean over images and labels of the binary cross-entropy, mixed
    labels included. They are not smoothed: towards one half it would take every rare label for
    likelier than it is.
    """
    if labels.ndim == 1:
        weights = class_weights(proxy.class_weights, labels, num_classes)
        return partial(
            cross_entropy,
            smoothing=proxy.label_smoothing,
            weights=None if weights is None else weights.to(device),
        )
    positive = None
    if proxy.class_weights != "none":
        positive = label_weights(labels).to(device)
    return partial(label_loss, positive=positive)


def label_weights(labels: Tensor) -> Tensor:
    """Float (K,): (N − n) / n of a label that n of N images have, so that those with it count as
    much as those without; from 1 / `MOST_WEIGHT` to `MOST_WEIGHT`."""
    images = labels.sum(0, dtype=torch.float64)
    return ((len(labels) - images) / images).clamp(1 / MOST_WEIGHT, MOST_WEIGHT).float()


def label_loss(logits: Tensor, labels: Tensor, positive: Tensor | None = None) -> Tensor:
    """Mean binary cross-entropy of 0 and 1, or of mixed labels, (n, K). With `positive` (K,) the
    share of an image that has a label counts so many times."""
    return F.binary_cross_entropy_with_logits(logits, labels.to(logits.dtype), pos_weight=positive)
