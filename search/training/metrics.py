"""Accuracy, and what counts all classes alike, from the confusion matrix of an evaluation.

Of the matrix of true and given classes only the diagonal and the two margins are needed, which of
a thousand classes are three thousand numbers and not a million. A class without images in a split
does not count.
"""

from dataclasses import asdict, dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Reached:
    """Numbers that a network reaches on a split."""

    def metrics(self, split: str) -> dict[str, float]:
        """By the names that records have."""
        return {f"{split}_{name}": value for name, value in asdict(self).items()}


@dataclass(frozen=True)
class Scores(Reached):
    """What a network reaches on a split: fractions, and losses in nats.

    `balanced_accuracy` is the mean over classes of their recall, `macro_f1` that of their F1,
    `balanced_loss` that of their mean cross-entropy.
    """

    accuracy: float
    loss: float
    balanced_accuracy: float
    macro_f1: float
    balanced_loss: float


@dataclass(frozen=True)
class Confusion:
    """Of each class, int64 (classes,): images, those given its name, and those of both."""

    images: Tensor
    given: Tensor
    right: Tensor

    @property
    def present(self) -> Tensor:
        """Bool (classes,): those that have images."""
        return self.images > 0

    @property
    def recall(self) -> Tensor:
        """Float64 (present classes,)."""
        return self.right[self.present].double() / self.images[self.present]

    @property
    def f1(self) -> Tensor:
        """Float64 (present classes,): 2·right / (images + given)."""
        whole = (self.images + self.given)[self.present]
        return 2 * self.right[self.present].double() / whole


def confusion_of(answers: Tensor, labels: Tensor, classes: int) -> Confusion:
    """The margins and the diagonal of the confusion matrix; answers and labels are int64 (N,)."""
    right = labels[answers == labels]
    counted = (torch.bincount(each, minlength=classes) for each in (labels, answers, right))
    return Confusion(*counted)


def mean_over_classes(values: Tensor, labels: Tensor) -> float:
    """The mean over classes of the mean of their images' values, (N,)."""
    images = torch.bincount(labels)
    sums = torch.zeros(len(images), dtype=torch.float64).index_add_(0, labels, values.double())
    return (sums[images > 0] / images[images > 0]).mean().item()
