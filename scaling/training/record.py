"""What a training leaves in its folder: weights, model.yaml, logs, tables and pictures."""

import contextlib
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import torch
import yaml
from numpy.typing import NDArray
from torch import Tensor

from blocks.arch import arch_to_mapping, format_arch
from blocks.cost import count
from blocks.errors import one_line
from blocks.export.prepare import Meaning
from blocks.export.safetensors import save_safetensors
from blocks.files import write_durably
from blocks.images.npz import NPZ_DAMAGE, read_npz
from blocks.images.reading import reading_to_mapping
from blocks.machine import versions
from blocks.network import Network
from scaling.judging import Judged, confused_pairs
from scaling.plot import plot_confusion
from search.data.batches import Batches
from search.data.loading import images_at
from search.data.splits import ImageData, Split
from search.errors import StudyError
from search.look.sheets import Row, sheet
from search.study.baseline import dataset_mapping

MODEL, WEIGHTS, OUTCOMES = "model.yaml", "model.safetensors", "test_logits.npz"
MOST_CONFUSED: Final = 30
"""Classes, above which a picture of the confusion matrix shows those that are confused most."""
WORST: Final = 60
"""Images on the page of the worst."""
_A_ROW: Final = 6


def write_weights(
    network: Network,
    folder: Path,
    data: ImageData,
    batches: Batches,
    threshold: float | None = None,
) -> None:
    """The weights of a network, with what they mean, as `blocks.load` reads them."""
    meaning = Meaning(
        *batches.moments,
        data.classes,
        data.reading,
        "multilabel" if data.several else "classes",
        threshold,
    )
    save_safetensors(network, folder / WEIGHTS, meaning)


def write_log(folder: Path, history: Sequence[dict[str, float]]) -> None:
    """log.csv: a line per epoch."""
    table = pd.DataFrame(list(history)).astype({"epoch": int, "step": int})
    write_durably(folder / "log.csv", table.to_csv(index=False).encode())


class Board:
    """TensorBoard's events, where tensorboard is installed; an epoch is written once."""

    def __init__(self, folder: Path, done: int) -> None:
        self._writer: Any = None
        with contextlib.suppress(ImportError):
            from torch.utils.tensorboard import SummaryWriter

            self._writer = SummaryWriter(str(folder / "tensorboard"), purge_step=done + 1)

    def write(self, row: dict[str, float]) -> None:
        """An epoch's row."""
        if self._writer is None:
            return
        for name, value in row.items():
            if name not in ("epoch", "step"):
                self._writer.add_scalar(name, value, int(row["epoch"]))
        self._writer.flush()

    def close(self) -> None:
        """No more epochs."""
        if self._writer is not None:
            self._writer.close()


def model_content(
    name: str,
    network: Network,
    data: ImageData,
    batches: Batches,
    known: dict[str, Any],
    threshold: float | None,
) -> dict[str, Any]:
    """model.yaml: the fields of b0.yaml, and how it was trained, `known`."""
    arch = network.arch
    reading = reading_to_mapping(data.reading)
    several = {} if threshold is None else {"task": "multilabel", "threshold": threshold}
    return {
        "name": name,
        "arch": format_arch(arch),
        "num_classes": data.num_classes,
        **several,
        "cost": asdict(count(arch, data.num_classes)),
        **known,
        "weights": WEIGHTS,
        "normalisation": dict(zip(("mean", "std"), batches.moments, strict=True)),
        "dataset": dataset_mapping(data),
        **({"reading": reading} if reading else {}),
        "versions": versions(),
        "fields": arch_to_mapping(arch),
    }


def write_model(folder: Path, content: dict[str, Any]) -> None:
    """Write model.yaml."""
    text = yaml.safe_dump(content, sort_keys=False, width=10_000, allow_unicode=True)
    write_durably(folder / MODEL, text.encode())


def write_judged(folder: Path, judged: Judged, data: ImageData, logits: Tensor, title: str) -> None:
    """Tables and pictures of the test images: per_class.csv, confused.csv, confusion.png,
    worst.png, test_logits.npz."""
    write_durably(folder / "per_class.csv", judged.classes.to_csv(index=False).encode())
    if judged.confusion is not None:
        pairs = confused_pairs(judged.confusion, data.classes)
        write_durably(folder / "confused.csv", pairs.to_csv(index=False).encode())
        shown, names = _most_confused(judged.confusion, data.classes)
        write_durably(folder / "confusion.png", plot_confusion(shown, names, title))
        page = _worst(data, logits)
        if page is not None:
            write_durably(folder / "worst.png", page)
    with (folder / OUTCOMES).open("wb") as file:
        np.savez_compressed(file, logits=logits.numpy(), labels=data.test.labels.numpy())


def read_outcomes(folder: Path) -> tuple[Tensor, Tensor]:
    """Logits and labels of the test images, as `write_judged` left them.

    Raises:
        StudyError: the file is damaged, or gone.
    """
    try:
        content = read_npz(folder / OUTCOMES)
        return torch.from_numpy(content["logits"]), torch.from_numpy(content["labels"])
    except NPZ_DAMAGE as error:
        raise StudyError(f"{folder / OUTCOMES} is damaged: {one_line(error)}") from None


def _most_confused(
    confusion: NDArray[np.int64], names: tuple[str, ...]
) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    if len(names) <= MOST_CONFUSED:
        return confusion, names
    wrong = confusion + confusion.T
    np.fill_diagonal(wrong, 0)
    chosen = np.sort(np.argsort(-wrong.sum(1), kind="stable")[:MOST_CONFUSED])
    return confusion[np.ix_(chosen, chosen)], tuple(names[number] for number in chosen)


def _worst(data: ImageData, logits: Tensor) -> bytes | None:
    """PNG of the test images that the network is most wrong about, by what they were taken for."""
    test: Split = data.test
    losses = torch.nn.functional.cross_entropy(logits, test.labels, reduction="none")
    answers = logits.argmax(1)
    wrong = (answers != test.labels).nonzero().flatten()
    worst = wrong[losses[wrong].argsort(descending=True)][:WORST]
    groups: dict[tuple[int, int], list[int]] = {}
    for number in worst.tolist():
        groups.setdefault((int(test.labels[number]), int(answers[number])), []).append(number)
    rows = []
    for (true, given), numbers in groups.items():
        for start in range(0, len(numbers), _A_ROW):
            lines = (data.classes[true], f"taken for {data.classes[given]}")
            some = torch.tensor(numbers[start : start + _A_ROW])
            rows.append(Row(lines, images_at(test, some)))
    return sheet(rows) if rows else None
