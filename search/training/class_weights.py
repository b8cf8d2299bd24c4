"""How much each class counts in the loss, and the loss itself where they do not count alike."""

from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor

BETA: Final = 0.999
"""Of `effective`: above about 1 / (1 − β) images, more of a class hardly say more. timm's default,
and among the best of the paper."""


def class_weights(kind: str, labels: Tensor, num_classes: int) -> Tensor | None:
    """Float (num_classes,), with mean 1 over the training images; None where all count alike.

    - `balanced`: N / (K·n) of a class of n of N images, of K classes: each counts the same.
    - `effective`: (1 − β) / (1 − β^n), the inverse of the effective number of images (Cui et al.,
      arXiv 1901.05555, eq. 6), with β = `BETA`.

    A class without training images has weight 0.
    """
    if kind == "none":
        return None
    images = torch.bincount(labels, minlength=num_classes).double()
    present = images > 0
    number = images if kind == "balanced" else (1 - BETA**images) / (1 - BETA)
    weights = torch.where(present, 1 / number.clamp_min(1e-12), 0.0)
    return (weights * images.sum() / (weights @ images)).float()


def cross_entropy(
    logits: Tensor, labels: Tensor, smoothing: float, weights: Tensor | None = None
) -> Tensor:
    """Mean cross-entropy of int64 labels (N,), or of mixed ones, float (N, K).

    With `weights` (K,) an image counts as much as its class, its share of label smoothing
    included; a mixed image as its classes by their shares. They are not divided by their mean over
    the batch, which would make less of a rare image wherever there is one: over the training images
    it is 1 (`class_weights`). PyTorch's own weights go with the class that a smoothed label speaks
    of, so that of smoothing most goes to the rare classes.
    """
    if weights is None:
        return F.cross_entropy(logits, labels, label_smoothing=smoothing)
    if not labels.is_floating_point():
        each = F.cross_entropy(logits, labels, reduction="none", label_smoothing=smoothing)
        return (weights[labels] * each).mean()
    logs = F.log_softmax(logits, 1)
    shares = labels * weights
    spread = shares.sum(1) * logs.mean(1)
    return -((1 - smoothing) * (shares * logs).sum(1) + smoothing * spread).mean()
