"""How many images each class has, and what a network has to beat that always answers one class."""

from collections.abc import Sequence

import pandas as pd
import torch

from search.data.classes import images_by_class
from search.data.splits import PARTS, ImageData


def class_counts(data: ImageData) -> pd.DataFrame:
    """A row per class, by its name; the columns `train`, `val`, `test` and `all`. Of several labels
    an image counts for each that it has."""
    counts = {part: images_by_class(getattr(data, part), data.num_classes) for part in PARTS}
    table = pd.DataFrame(counts, index=pd.Index(data.classes, name="class"))
    return table.assign(all=table.sum(axis=1))


def labels_an_image(data: ImageData) -> dict[int, int]:
    """How many images of all splits have 0, 1, 2, … labels, where they may have several."""
    found = torch.bincount(
        torch.cat([getattr(data, part).labels.sum(1, dtype=torch.int64) for part in PARTS])
    )
    return {number: images for number, images in enumerate(found.tolist()) if images}


def prevalence(data: ImageData) -> dict[str, float]:
    """By split, the mean over the labels that it has of the share of images with them: about the
    mAP of answers at random."""
    shares = {part: getattr(data, part).labels.double().mean(0) for part in PARTS}
    return {part: float(each[each > 0].mean()) for part, each in shares.items()}


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
