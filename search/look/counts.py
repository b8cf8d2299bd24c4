"""How many images each class has, and what a network has to beat that always answers one class."""

from collections.abc import Sequence
from typing import Final

import pandas as pd
import torch

from search.data.splits import ImageData

PARTS: Final = ("train", "val", "test")


def class_counts(data: ImageData) -> pd.DataFrame:
    """A row per class, by its name; the columns `train`, `val`, `test` and `all`."""
    counts = {
        part: torch.bincount(getattr(data, part).labels, minlength=data.num_classes).numpy()
        for part in PARTS
    }
    table = pd.DataFrame(counts, index=pd.Index(data.classes, name="class"))
    return table.assign(all=table.sum(axis=1))


def imbalance(counts: pd.DataFrame) -> float:
    """How many times as many training images the largest class has as the smallest; infinite
    where that has none."""
    least, most = int(counts["train"].min()), int(counts["train"].max())
    return most / least if least else float("inf")


def largest_class(counts: pd.DataFrame) -> tuple[str, dict[str, float]]:
    """The class with the most training images; the accuracy of always answering it, by split."""
    place = int(counts["train"].to_numpy().argmax())
    shares = {part: float(counts[part].iloc[place] / counts[part].sum()) for part in PARTS}
    return str(counts.index[place]), shares


def extremes(counts: pd.DataFrame, each: int) -> tuple[Sequence[int], Sequence[int]]:
    """The positions of the largest and of the smallest classes, by images in all; where they
    would be most of the classes anyway, all are among the first."""
    order = counts["all"].to_numpy().argsort(kind="stable")[::-1].tolist()
    if len(order) <= 2 * each + 2:
        return list(range(len(order))), []
    return order[:each], order[-each:]
