"""What people judge a network by, each with a bootstrap interval over the images.

One home for the end of a training, for `evaluate`, `publish` and `ensemble`. Point values are
torchmetrics'; an interval is from the 2.5th to the 97.5th percentile over samples of the images
with replacement, the network and a threshold being as they are.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from blocks.latency.device import torch_threads
from search.training.label_metrics import (
    label_losses,
    macro_f1,
    mean_average_precision,
)

SAMPLES: Final = 1000
OF_LABELS: Final = 200
"""Samples of images with several labels, whose precision takes longer."""
BINS: Final = 15
"""Of confidence, for the calibration error."""
TOP: Final = 5


@dataclass(frozen=True)
class Figure:
    """A value and its interval of 95%."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.4f} ({self.low:.4f} to {self.high:.4f})"


@dataclass(frozen=True)
class Judged:
    """A network on a split: `figures` by name, a row of `classes` for each class, `confusion`
    int64 (true, given) of classes, None of several labels."""

    figures: dict[str, Figure]
    classes: pd.DataFrame
    confusion: NDArray[np.int64] | None

    def mapping(self) -> dict[str, Any]:
        """As YAML holds it."""
        return {
            name: {"value": each.value, "low": each.low, "high": each.high}
            for name, each in self.figures.items()
        }


def judge_classes(
    logits: Tensor,
    labels: Tensor,
    names: tuple[str, ...],
    seed: int = 0,
    samples: int = SAMPLES,
) -> Judged:
    """Top-1, top-5 where there are more classes, balanced accuracy, macro F1, calibration error
    (ECE, `BINS` bins) and mean cross-entropy of logits (N, K) for labels int64 (N,)."""
    chances = logits.softmax(1)
    confidence, answers = chances.max(1)
    losses = torch.nn.functional.cross_entropy(logits, labels, reduction="none")
    top = None
    if len(names) > TOP:
        top = (logits.topk(TOP, 1).indices == labels[:, None]).any(1)

    def measure(rows: Tensor) -> dict[str, float]:
        found = of_confusion(confusion_of(answers[rows], labels[rows], len(names)))
        if top is not None:
            found["top5_accuracy"] = top[rows].float().mean().item()
        found["calibration_error"] = calibration_error(
            confidence[rows], answers[rows] == labels[rows]
        )
        found["loss"] = losses[rows].mean().item()
        return found

    confusion = confusion_of(answers, labels, len(names))
    return Judged(
        bootstrapped(measure, len(labels), samples, seed),
        class_table(confusion, names),
        confusion.numpy(),
    )


def confusion_of(answers: Tensor, labels: Tensor, classes: int) -> Tensor:
    """int64 (true, given)."""
    from torchmetrics.functional.classification import multiclass_confusion_matrix

    return multiclass_confusion_matrix(answers, labels, classes, validate_args=False)


def of_confusion(confusion: Tensor) -> dict[str, float]:
    """Accuracy, and the means over the classes that have images of recall and of F1."""
    right = confusion.diagonal().double()
    true, given = confusion.sum(1).double(), confusion.sum(0).double()
    present = true > 0
    recall = right[present] / true[present]
    f1 = 2 * right[present] / (true + given)[present]
    return {
        "accuracy": float(right.sum() / true.sum()),
        "balanced_accuracy": float(recall.mean()),
        "macro_f1": float(f1.mean()),
    }


def calibration_error(confidence: Tensor, right: Tensor) -> float:
    """ECE: over bins of confidence, the mean distance from it of the share that is right (Guo et
    al., arXiv 1706.04599, eq. 3)."""
    from torchmetrics.functional.classification import binary_calibration_error

    # Of many classes the confidence is that of the answer: what torchmetrics calls binary.
    error = binary_calibration_error(
        confidence, right.long(), n_bins=BINS, norm="l1", validate_args=False
    )
    return float(error)


def bootstrapped(
    measure: Callable[[Tensor], Mapping[str, float]], images: int, samples: int, seed: int
) -> dict[str, Figure]:
    """Each figure that `measure` finds for some rows, with its interval over samples of them."""
    generator = torch.Generator().manual_seed(seed)
    # Thousands of small operations: threads would wait for one another at each.
    with torch_threads(1):
        whole = measure(torch.arange(images))
        drawn: dict[str, list[float]] = {name: [] for name in whole}
        for _ in range(samples):
            rows = torch.randint(images, (images,), generator=generator)
            for name, value in measure(rows).items():
                drawn[name].append(value)
    found = {}
    for name, value in whole.items():
        low, high = np.percentile(drawn[name], [2.5, 97.5])
        found[name] = Figure(float(value), float(low), float(high))
    return found


def class_table(confusion: Tensor, names: tuple[str, ...]) -> pd.DataFrame:
    """A row per class: images, recall, precision, F1, and the class that it is most taken for."""
    counts = confusion.numpy()
    true, given, right = counts.sum(1), counts.sum(0), counts.diagonal()
    wrong = counts.copy()
    np.fill_diagonal(wrong, 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        recall, precision = right / true, right / given
        f1 = 2 * right / (true + given)
    taken = [
        names[number] if row.any() else ""
        for number, row in zip(wrong.argmax(1), wrong, strict=True)
    ]
    return pd.DataFrame(
        {
            "class": names,
            "images": true,
            "recall": recall,
            "precision": precision,
            "f1": f1,
            "most_taken_for": taken,
            "times": wrong.max(1),
        }
    )


def confused_pairs(confusion: NDArray[np.int64], names: tuple[str, ...]) -> pd.DataFrame:
    """The pairs of classes that are confused, the most often first; a row per pair, either way."""
    wrong = confusion + confusion.T
    rows = [
        (names[one], names[other], int(wrong[one, other]), int(confusion[one, other]))
        for one in range(len(names))
        for other in range(one + 1, len(names))
        if wrong[one, other]
    ]
    table = pd.DataFrame(rows, columns=["class", "other", "times", "class_taken_for_other"])
    return table.sort_values("times", ascending=False, kind="stable").reset_index(drop=True)


def judge_labels(
    logits: Tensor,
    labels: Tensor,
    names: tuple[str, ...],
    threshold: float,
    seed: int = 0,
    samples: int = OF_LABELS,
) -> Judged:
    """mAP, calibration error and loss, and at a threshold (a logit) macro F1 and the share of
    images of which every label is right, of several labels uint8 (N, K)."""
    scores, truth = logits.numpy(), labels.numpy()
    answers = scores > threshold
    losses, chances = label_losses(logits, labels), logits.sigmoid()

    def measure(rows: Tensor) -> dict[str, float]:
        chosen = rows.numpy()
        return {
            "map": mean_average_precision(scores[chosen], truth[chosen]),
            "macro_f1": macro_f1(answers[chosen], truth[chosen]),
            "accuracy": float((answers[chosen] == truth[chosen]).all(1).mean()),
            "calibration_error": calibration_error(
                chances[rows].flatten(), labels[rows].flatten() > 0
            ),
            "loss": losses[rows].mean().item(),
        }

    true, given, both = truth.sum(0), answers.sum(0), (answers & (truth > 0)).sum(0)
    with np.errstate(invalid="ignore", divide="ignore"):
        table = pd.DataFrame(
            {
                "class": names,
                "images": true,
                "recall": both / true,
                "precision": both / given,
                "f1": 2 * both / (true + given),
            }
        )
    return Judged(bootstrapped(measure, len(labels), samples, seed), table, None)


def paired_difference(
    one: NDArray[np.float64], other: NDArray[np.float64], seed: int = 0
) -> Figure:
    """The mean of `one` less `other`, a value for each image, with its interval over images."""
    apart = torch.from_numpy(np.asarray(one, np.float64) - np.asarray(other, np.float64))
    found = bootstrapped(lambda rows: {"": apart[rows].mean().item()}, len(apart), SAMPLES, seed)
    return found[""]
