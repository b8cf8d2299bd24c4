"""What a training has brought, and what a comparison of two says."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
import yaml

from blocks.errors import DAMAGED, one_line
from blocks.network import Network
from blocks.yaml_text import load_yaml
from scaling.judging import Figure, bootstrapped, paired_difference
from scaling.training.record import MODEL, read_outcomes
from search.errors import StudyError
from search.training.label_metrics import mean_average_precision

BY_SIZE: Final = ("dropout", "batch_size")
"""Of a recipe, what may differ between members of one family."""


@dataclass(frozen=True)
class Trained:
    """A trained network: `content` is what its model.yaml holds, `folder` where it lies."""

    name: str
    folder: Path
    content: Mapping[str, Any]

    @property
    def test(self) -> Mapping[str, Any]:
        """Of the test images each figure's value, low and high."""
        found: Mapping[str, Any] = self.content["metrics"]["test"]
        return found

    @property
    def schedule(self) -> str:
        """A digest of how it was trained: networks of one schedule may be compared."""
        content = self.content
        recipe = {key: value for key, value in content["recipe"].items() if key not in BY_SIZE}
        how = [recipe, content.get("started_from"), content.get("teacher")]
        how.append(content["dataset"]["sha256"])
        return hashlib.sha256(json.dumps(how, sort_keys=True).encode()).hexdigest()[:16]

    def network(self) -> Network:
        """The network with its best weights, in evaluation mode, on the CPU.

        Raises:
            WeightsError: the file is gone, or damaged.
        """
        from blocks.loading import load

        return load(self.folder / MODEL)

    @property
    def several(self) -> bool:
        """Whether an image may have several labels."""
        return self.content.get("task") == "multilabel"

    @property
    def measure(self) -> str:
        """What it is compared by, of its figures."""
        return "map" if self.several else "accuracy"


@dataclass(frozen=True)
class Comparison:
    """The same network trained twice: with known weights or a teacher, `what`, and without.

    `gain` is the difference of `measure` on the test images.
    """

    name: str
    what: str
    with_it: Trained
    without: Trained
    measure: str
    gain: Figure
    images: int

    @property
    def verdict(self) -> str:
        """What the interval says."""
        if self.gain.low > 0:
            return "better with it"
        return "worse with it" if self.gain.high < 0 else "not told apart"


@dataclass(frozen=True)
class Result:
    """All networks that were asked for, and the comparisons. `first`: whether this process is the
    one that wrote them."""

    trained: list[Trained]
    comparisons: list[Comparison]
    first: bool = True


def read_trained(folder: Path) -> Trained:
    """What a training left.

    Raises:
        StudyError: it is not there, or damaged.
    """
    path = folder / MODEL
    try:
        content = load_yaml(path.read_text(encoding="utf-8"))
        found = Trained(folder.name, folder, content)
        _ = found.test, found.content["cost"], found.content["trained"]
    except (OSError, yaml.YAMLError, *DAMAGED) as error:
        raise StudyError(f"{path} is missing or damaged: {one_line(error)}") from None
    return found


def compare_trained(what: str, with_it: Trained, without: Trained) -> Comparison:
    """Both on the same test images, in pairs."""
    one, labels = read_outcomes(with_it.folder)
    other, theirs = read_outcomes(without.folder)
    if not torch.equal(labels, theirs):
        raise StudyError(
            f"{with_it.folder} and {without.folder} were judged on other test images; train them "
            "again with fresh=true"
        )
    if with_it.several:
        truth = labels.numpy()
        gain = bootstrapped(
            lambda rows: {
                "": mean_average_precision(one[rows].numpy(), truth[rows.numpy()])
                - mean_average_precision(other[rows].numpy(), truth[rows.numpy()])
            },
            len(truth),
            200,
            0,
        )[""]
    else:
        right, wrong = ((each.argmax(1) == labels).numpy() for each in (one, other))
        gain = paired_difference(np.asarray(right, float), np.asarray(wrong, float))
    return Comparison(with_it.name, what, with_it, without, with_it.measure, gain, len(labels))
