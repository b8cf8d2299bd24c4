"""What a trained network makes of each single image: by it two networks are compared in pairs."""

import io
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from blocks.errors import one_line
from blocks.files import write_durably
from blocks.images.npz import NPZ_DAMAGE, read_npz
from blocks.network import Network
from search.data.batches import Batches
from search.errors import StudyError
from search.training.evaluate import all_logits
from search.training.label_metrics import best_threshold, label_losses
from search.training.metrics import mean_over_classes

INVERSE_TEMPERATURES: Final = np.logspace(-1.2, 0.6, 73)
"""Among which the best one of a network is looked for: from 1/16 to 4."""


@dataclass(frozen=True)
class Outcomes:
    """Of each validation and each test image: the loss in nats (float32) after temperature
    scaling, whether the answer was right (bool), and which class it was (int32).

    Answers are empty where an earlier version has left the file. Of images with several labels they
    are (images, labels) of 0 and 1, right where all are, and `score` holds the logits (float32) of
    each label.
    """

    val_loss: NDArray[np.float32]
    val_right: NDArray[np.bool_]
    test_loss: NDArray[np.float32]
    test_right: NDArray[np.bool_]
    val_answer: NDArray[np.int32]
    test_answer: NDArray[np.int32]
    val_score: NDArray[np.float32] | None = None
    test_score: NDArray[np.float32] | None = None

    def save(self, path: Path) -> None:
        """Write an npz file, whole or not at all."""
        buffer = io.BytesIO()
        known = {name: value for name, value in asdict(self).items() if value is not None}
        np.savez_compressed(buffer, **known)
        write_durably(path, buffer.getbuffer())


def read_outcomes(path: Path) -> Outcomes:
    """What `Outcomes.save` wrote.

    Raises:
        StudyError: the file is not there, or damaged.
    """
    try:
        return Outcomes(**{"val_answer": _NONE, "test_answer": _NONE, **read_npz(path)})
    except NPZ_DAMAGE as error:
        raise StudyError(f"{path} is damaged: {one_line(error)}") from None


_NONE: Final = np.empty(0, np.int32)


@torch.inference_mode()
def outcomes_of(network: Network, batches: Batches, balanced: bool = False) -> Outcomes:
    """Judge every validation and test image.

    A network that was trained for long is too sure of itself, which its loss is full of and its
    accuracy is not. So the logits are divided by the temperature at which the validation loss is
    least (Guo et al., arXiv 1706.04599, §4.2), with `balanced` that of all classes alike; the test
    images have the same one.
    """
    if batches.val.labels.ndim == 2:
        return _outcomes_of_labels(network, batches)
    logits = all_logits(network, batches, batches.val)
    best = inverse_temperature(logits, batches.val.labels, balanced)
    val = _each(logits * best, batches.val.labels)
    val_answer = logits.argmax(1).numpy().astype(np.int32)
    logits = all_logits(network, batches, batches.test)
    test_answer = logits.argmax(1).numpy().astype(np.int32)
    return Outcomes(*val, *_each(logits * best, batches.test.labels), val_answer, test_answer)


def _outcomes_of_labels(network: Network, batches: Batches) -> Outcomes:
    """Likewise, the loss being the mean over labels of the binary cross-entropy."""
    logits = [all_logits(network, batches, split) for split in (batches.val, batches.test)]
    labels = [batches.val.labels, batches.test.labels]
    best = inverse_temperature(logits[0], labels[0])
    threshold = best_threshold(logits[0].numpy(), labels[0].numpy())
    loss = [
        label_losses(each * best, known).numpy() for each, known in zip(logits, labels, strict=True)
    ]
    answer = [each.numpy() > threshold for each in logits]
    right = [(each == known.numpy()).all(1) for each, known in zip(answer, labels, strict=True)]
    return Outcomes(
        val_loss=loss[0],
        val_right=right[0],
        test_loss=loss[1],
        test_right=right[1],
        val_answer=answer[0].astype(np.int32),
        test_answer=answer[1].astype(np.int32),
        val_score=logits[0].numpy(),
        test_score=logits[1].numpy(),
    )


def inverse_temperature(logits: Tensor, labels: Tensor, balanced: bool = False) -> float:
    """What logits are multiplied by where their mean cross-entropy is least, or with `balanced`
    the mean over classes of theirs; of several labels it is the binary one."""
    if labels.ndim == 2:
        losses = [
            label_losses(logits * each, labels).mean().item() for each in INVERSE_TEMPERATURES
        ]
    elif balanced:
        losses = [
            mean_over_classes(F.cross_entropy(logits * each, labels, reduction="none"), labels)
            for each in INVERSE_TEMPERATURES
        ]
    else:
        losses = [F.cross_entropy(logits * each, labels).item() for each in INVERSE_TEMPERATURES]
    return float(INVERSE_TEMPERATURES[int(np.argmin(losses))])


def _each(logits: Tensor, labels: Tensor) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    loss = F.cross_entropy(logits.float(), labels, reduction="none")
    right = logits.argmax(1) == labels
    return loss.numpy().astype(np.float32), right.numpy()
