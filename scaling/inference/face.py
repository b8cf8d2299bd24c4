"""A trained network from Python: `from scaling import evaluate, predict`."""

from collections.abc import Iterable, Sequence
from os import PathLike, fspath
from pathlib import Path
from typing import Any

import pandas as pd

from scaling.inference.answers import ask
from scaling.inference.config import EvaluateConfig, PredictConfig, make_config
from scaling.inference.evaluate import Evaluation, images_for
from scaling.inference.evaluate import evaluate as evaluate_on
from scaling.inference.model import read_model
from scaling.inference.predict import labels_of, name_of
from scaling.inference.sources import images_in

Named = str | PathLike[str] | None


def predict(
    model: Named, images: str | PathLike[str] | Iterable[str | PathLike[str]], **settings: Any
) -> pd.DataFrame:
    """What a trained network says of images: a row per file, `class` and `probability`, or
    `labels`, and the probability of every class; that of a class called `file` is in the column
    `probability of file`, and likewise of the other names before.

    `model` as the command line has it; None, where `study` names one. `images`: a file, a folder,
    or files. `settings`: study, member, weights, on_corrupt, ….

        predict("results/main", "photos")

    Raises:
        ScalingError, ArchError, WeightsError, ExportError, StudyError: see the messages.
    """
    config = make_config(PredictConfig, **settings)
    network = read_model(config, None if model is None else fspath(model))
    if isinstance(images, str | PathLike):
        paths, _ = images_in(Path(images).expanduser())
    else:
        paths = iter([Path(each) for each in images])
    threshold = network.threshold if config.threshold is None else config.threshold
    rows = []
    columns: list[str] = []
    for answers in ask(network, paths, batch=config.batch, on_corrupt=config.on_corrupt):
        for path, row in zip(answers.paths, answers.found, strict=True):
            best = int(row.argmax())
            said: dict[str, Any] = {"file": name_of(path)}
            if network.subject.several:
                said["labels"] = labels_of(network, row, threshold)
            else:
                said |= {"class": network.classes[best], "probability": float(row[best])}
            columns = columns or class_columns(network.classes, tuple(said))
            rows.append(said | dict(zip(columns, row.tolist(), strict=True)))
    return pd.DataFrame(rows)


def class_columns(classes: Sequence[str], taken: Sequence[str]) -> list[str]:
    """The columns of the classes' probabilities: their names, but for those that are `taken`."""
    used = {*taken, *classes}
    columns = []
    for name in classes:
        if name in taken:
            column = f"probability of {name}"
            while column in used:  # a class may be called so
                column = f"probability of {column}"
            used.add(column)
            name = column
        columns.append(name)
    return columns


def evaluate(
    model: Named, images: str | PathLike[str] | None = None, **settings: Any
) -> Evaluation:
    """How good a trained network is on labelled images; without `images` on those of its study.

        found = evaluate(None, study="main")
        found.judged.figures["accuracy"].low, found.judged.classes

    Raises:
        ScalingError, ArchError, WeightsError, ExportError, StudyError, DataError: see the messages.
    """
    config = make_config(EvaluateConfig, **settings)
    network = read_model(config, None if model is None else fspath(model))
    named = None if images is None else fspath(images)
    labelled = images_for(network, config, named, model)
    return evaluate_on(
        network,
        labelled,
        batch=config.batch,
        on_corrupt=config.on_corrupt,
        threshold=config.threshold,
        draws=config.draws,
    )
