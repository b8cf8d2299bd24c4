"""What a trained network makes of each single image: by it two networks are compared in pairs."""

import io
import zipfile
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
from blocks.network import Network
from search.data.batches import Batches
from search.data.splits import Split
from search.errors import StudyError
from search.training.evaluate import logits_of
from search.training.metrics import mean_over_classes

INVERSE_TEMPERATURES: Final = np.logspace(-1.2, 0.6, 73)
"""Among which the best one of a network is looked for: from 1/16 to 4."""


@dataclass(frozen=True)
class Outcomes:
    """Of each validation and each test image: the loss in nats (float32) after temperature
    scaling, whether the answer was right (bool), and which class it was (int32).

    Answers are empty where an earlier version has left the file.
    """

    val_loss: NDArray[np.float32]
    val_right: NDArray[np.bool_]
    test_loss: NDArray[np.float32]
    test_right: NDArray[np.bool_]
    val_answer: NDArray[np.int32]
    test_answer: NDArray[np.int32]

    def save(self, path: Path) -> None:
        """Write an npz file, whole or not at all."""
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **asdict(self))
        write_durably(path, buffer.getbuffer())


def read_outcomes(path: Path) -> Outcomes:
    """What `Outcomes.save` wrote.

    Raises:
        StudyError: the file is not there, or damaged.
    """
    try:
        with np.load(path, allow_pickle=False) as content:
            known = {name: content[name] for name in content.files}
            return Outcomes(**{"val_answer": _NONE, "test_answer": _NONE, **known})
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
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
    logits = all_logits(network, batches, batches.val)
    best = inverse_temperature(logits, batches.val.labels, balanced)
    val = _each(logits * best, batches.val.labels)
    answers = [logits.argmax(1).numpy().astype(np.int32)]
    logits = all_logits(network, batches, batches.test)
    answers.append(logits.argmax(1).numpy().astype(np.int32))
    return Outcomes(*val, *_each(logits * best, batches.test.labels), *answers)


def all_logits(network: Network, batches: Batches, split: Split) -> Tensor:
    """(images, classes), on the CPU."""
    return torch.cat([logits for logits, _ in logits_of(network, batches, split)])


def inverse_temperature(logits: Tensor, labels: Tensor, balanced: bool = False) -> float:
    """What logits are multiplied by where their mean cross-entropy is least, or with `balanced`
    the mean over classes of theirs."""
    if balanced:
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
