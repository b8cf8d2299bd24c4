"""A network judged on labelled images: a folder, a table, arrays, or its study's own."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast

import numpy as np
import torch
from torch import Tensor

from blocks.images.batches import PART_ORDER, Part
from blocks.images.folders import FileImages
from blocks.images.read import read_images
from blocks.names import counted, few
from scaling.compound import ScalingError
from scaling.inference.answers import Looked, ask
from scaling.inference.config import EvaluateConfig
from scaling.inference.model import Model, study_of
from scaling.judging import Judged, judge_classes, judge_labels
from scaling.training.images import Source, load_images
from search.config.schema import DatasetConfig
from search.data.batches import prepare
from search.data.files import labels_of
from search.data.splits import PARTS
from search.data.table import list_table
from search.record.folder import StudyFolder

TABLES: Final = (".csv", ".tsv", ".jsonl", ".parquet", ".json")
_AT_ONCE: Final = 256


@dataclass(frozen=True)
class Labelled:
    """Images with their labels, int64 (N,) or 0 and 1 (N, classes), as the network numbers them.

    They are files, or `pixels`: uint8 or float in 0…1 (n, C, H, W), some at a time.
    """

    where: str
    labels: Tensor
    paths: tuple[Path, ...] | None = None
    pixels: Callable[[], Iterator[Tensor]] | None = None
    sha256: str | None = None

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Evaluation:
    """A network on images: its logits (N, classes) and what they are worth. `unread`: files that
    were passed over, each with the reason. `threshold`: from which probability on one of several
    labels is given."""

    judged: Judged
    logits: Tensor
    labelled: Labelled
    unread: tuple[tuple[Path, str], ...]
    threshold: float


def find_images(model: Model, text: str, split: str, labels: str) -> Labelled:
    """The labelled images of a folder, of an .npz file, or of a table of labels.

    Raises:
        ScalingError, ExportError, DataError: none, or of classes that the network has not.
    """
    part = cast(Part, split)
    path = Path(text).expanduser()
    if path.suffix.lower() in TABLES:
        return _of_table(model, path, part)
    if model.subject.several and path.is_dir():
        raise ScalingError(
            f"{path}: a folder gives each image one class, and this network several labels; "
            "expected a table of labels"
        )
    subject = model.subject
    found = read_images(
        path,
        subject.arch,
        subject.num_classes,
        mean=subject.mean,
        std=subject.std,
        part=part,
        labels="name" if labels == "name" else "folder",
        classes=subject.classes,
        reading=subject.reading,
    )
    if found.labels is None:
        raise ScalingError(
            f"{found.where} has no labels; expected a folder per class, labels=name, or a table"
        )
    if isinstance(found.read, FileImages):
        return Labelled(found.where, found.labels, found.read.paths)

    def pixels() -> Iterator[Tensor]:
        for start in range(0, len(found), _AT_ONCE):
            yield found.read(found.numbers[start : start + _AT_ONCE])

    return Labelled(found.where, found.labels, pixels=pixels)


def _of_table(model: Model, path: Path, part: Part) -> Labelled:
    listed = list_table(DatasetConfig(name="table", path=str(path)), model.subject.several)
    chosen = next(name for name in PART_ORDER[part] if name in listed.parts)
    files = [file for file in listed.files if file.part == chosen]
    known = {name: number for number, name in enumerate(model.classes)}
    strangers = [name for name in listed.classes if name not in known]
    if strangers:
        raise ScalingError(
            f"{path} has the class {strangers[0]!r}, which the network has not; it knows "
            f"{few(model.classes)}"
        )
    order = torch.tensor([known[name] for name in listed.classes])
    labels = torch.from_numpy(labels_of(files, len(listed.classes)))
    if labels.ndim == 2:
        wide = torch.zeros(len(files), len(model.classes), dtype=labels.dtype)
        wide[:, order] = labels
        labels = wide
    else:
        labels = order[labels]
    return Labelled(f"{path} ({chosen})", labels, tuple(file.path for file in files))


def images_for(model: Model, config: EvaluateConfig, images: str | None, asked: object) -> Labelled:
    """The labelled images that are named, or else those of the network's own study; `asked`: what
    the network was called.

    Raises:
        ScalingError: none are named, and it is of no study; and as the two below.
    """
    if images is not None:
        return find_images(model, images, config.part, config.labels)
    study = study_of(config, model)
    if study is None:
        raise ScalingError(f"evaluate {asked}: on which images? It is of no study here")
    return images_of_study(model, study, config.part)


def images_of_study(model: Model, folder: StudyFolder, part: str) -> Labelled:
    """A split of a study's images, read as its search read them.

    Raises:
        StudyError, DataError: the images are others than those of the search, or cannot be read.
        ScalingError: they are of other classes than the network's.
    """
    config = folder.require().read_config()
    # Decoded as for its training: larger than for the search, where it sees more.
    data = load_images(Source(folder, config, True), model.arch.image)
    if (data.num_classes, data.in_channels) != (model.subject.num_classes, model.arch.in_channels):
        raise ScalingError(
            f"the network has {model.subject.num_classes} classes and {model.arch.in_channels} "
            f"input channels, the images of {folder.study} {data.num_classes} and "
            f"{data.in_channels}"
        )
    if model.subject.classes is not None and model.subject.classes != data.classes:
        raise ScalingError(
            f"the network knows the classes {few(model.subject.classes)}, the images of "
            f"{folder.study} are of {few(data.classes)}; expected the same, in the same order"
        )
    assert part in PARTS
    split = getattr(prepare(data, model.arch.image), part)
    return Labelled(
        f"{counted(len(split), f'{part} image')} of study {folder.study} ({data.name})",
        split.labels,
        pixels=lambda: iter(torch.split(split.images, _AT_ONCE)),
        sha256=data.sha256,
    )


def answers_to(
    model: Model,
    labelled: Labelled,
    *,
    batch: int | None = None,
    on_corrupt: str = "refuse",
    look: Looked | None = None,
) -> tuple[Tensor, Labelled, tuple[tuple[Path, str], ...]]:
    """Logits (N, classes), the images that could be read, and the files that could not.

    Raises:
        ScalingError: a file cannot be read, unless `on_corrupt` is skip; or none can.
    """
    see = model.logits if look is None else look
    if labelled.pixels is not None:
        found = torch.cat([see(_in_unit(some)) for some in labelled.pixels()])
        return found, labelled, ()
    assert labelled.paths is not None
    answers = list(ask(model, labelled.paths, batch=batch, on_corrupt=on_corrupt, look=see))
    numbers = [number for each in answers for number in each.numbers]
    unread = tuple(pair for each in answers for pair in each.unread)
    if not numbers:
        raise ScalingError(f"no image of {labelled.where} can be read: {unread[0][1]}")
    paths = tuple(labelled.paths[number] for number in numbers)
    kept = Labelled(labelled.where, labelled.labels[numbers], paths, sha256=labelled.sha256)
    return torch.cat([each.found for each in answers]), kept, unread


def evaluate(
    model: Model,
    labelled: Labelled,
    *,
    batch: int | None = None,
    on_corrupt: str = "refuse",
    threshold: float | None = None,
    draws: int = 1000,
) -> Evaluation:
    """How good `model` is on labelled images.

    Raises:
        ScalingError: see `answers_to`.
    """
    found, kept, unread = answers_to(model, labelled, batch=batch, on_corrupt=on_corrupt)
    at = model.threshold if threshold is None else threshold
    return Evaluation(judge(model, found, kept.labels, at, draws), found, kept, unread, at)


def judge(model: Model, logits: Tensor, labels: Tensor, threshold: float, draws: int) -> Judged:
    """What logits (N, classes) are worth; `threshold`: the probability from which on one of several
    labels is given."""
    if labels.ndim == 2:
        at = math.log(threshold / (1 - threshold))
        return judge_labels(logits, labels, model.classes, at, samples=draws)
    return judge_classes(logits, labels, model.classes, samples=draws)


def worst(evaluation: Evaluation, most: int = 20) -> list[tuple[int, float]]:
    """Of one class for each image: the positions of those whose own class has the least
    probability, and that probability."""
    labels = evaluation.labelled.labels
    if labels.ndim == 2:
        return []
    own = evaluation.logits.softmax(1).gather(1, labels[:, None]).flatten().numpy()
    order = np.argsort(own, kind="stable")[:most]
    return [(int(place), float(own[place])) for place in order]


def _in_unit(images: Tensor) -> Tensor:
    return images.float() / 255 if images.dtype == torch.uint8 else images
