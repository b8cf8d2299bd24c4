"""What an evaluation leaves: numbers, tables and pictures, in one folder."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from blocks.arch import format_arch
from blocks.files import write_whole
from blocks.images.inputs import decode_for
from blocks.machine import machine, versions
from blocks.names import counted
from scaling.compound import ScalingError
from scaling.inference.evaluate import Evaluation, worst
from scaling.inference.model import Model
from scaling.inference.pictures import Pixels, plot_calibration, plot_grid
from scaling.judging import confused_pairs
from scaling.plot import plot_confusion

WORST = 24
"""Images of which the page of the worst is made."""


def folder_for(output: str | None, model: Model, kind: str) -> Path:
    """Where files go: as asked for, or beside the network's own file."""
    if output is not None:
        return Path(output).expanduser()
    home = Path("results") if model.source is None else model.source.parent
    return home / kind / model.name


def write_evaluation(folder: Path, model: Model, found: Evaluation) -> list[str]:
    """Write evaluation.json, classes.csv and, of one class for each image, confusion.png,
    calibration.png, confused.csv and worst.png; gives their names."""
    judged, names = found.judged, []

    def write(name: str, content: bytes) -> None:
        write_whole(folder / name, content)
        names.append(name)

    content = summary(model, found)
    write("evaluation.json", (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode())
    write("classes.csv", judged.classes.to_csv(index=False).encode())
    if judged.confusion is None:
        return names
    title = f"{model.name}: {counted(len(found.labelled), 'image')}"
    table = confused_pairs(judged.confusion, model.classes)
    write("confused.csv", table.to_csv(index=False).encode())
    write("confusion.png", plot_confusion(judged.confusion, model.classes, title))
    sure, given = found.logits.softmax(1).double().max(1)
    right = (given == found.labelled.labels).numpy()
    write("calibration.png", plot_calibration(sure.numpy(), right, title))
    write("worst.png", _worst(model, found))
    return names


def summary(model: Model, found: Evaluation) -> dict[str, Any]:
    """What was judged, on what, and how it did."""
    labelled = found.labelled
    threshold = {"threshold": found.threshold} if model.subject.several else {}
    return {
        "network": str(model.source or model.name),
        "arch": format_arch(model.arch),
        "images": len(labelled),
        "of": labelled.where,
        **({} if labelled.sha256 is None else {"dataset_sha256": labelled.sha256}),
        "unread": [[str(path), reason] for path, reason in found.unread],
        **threshold,
        "figures": found.judged.mapping(),
        "versions": versions("torchmetrics"),
        "machine": machine(),
    }


def _worst(model: Model, found: Evaluation) -> bytes:
    """The images whose own class has the least probability, with it and what they are taken for."""
    given = found.logits.argmax(1)
    labels, chosen = found.labelled.labels, worst(found, WORST)
    images = _pixels(model, found, [place for place, _ in chosen])
    titles = [
        f"{_short(model.classes[int(labels[place])])} {own:.2f}\n"
        f"→ {_short(model.classes[int(given[place])])}"
        for place, own in chosen
    ]
    rows = range(0, len(images), 6)
    return plot_grid([images[at : at + 6] for at in rows], [titles[at : at + 6] for at in rows])


def _pixels(model: Model, found: Evaluation, places: list[int]) -> list[Pixels]:
    labelled = found.labelled
    if labelled.paths is not None:
        inputs = [
            decode_for(labelled.paths[place], model.arch, model.subject.reading, ScalingError)
            for place in places
        ]
    else:
        assert labelled.pixels is not None
        wanted: dict[int, torch.Tensor] = {}
        start = 0
        for some in labelled.pixels():
            unit = some.dtype == torch.uint8
            for place in places:
                if start <= place < start + len(some):
                    image = some[place - start].float()
                    wanted[place] = image / 255 if unit else image
            start += len(some)
        inputs = [wanted[place] for place in places]
    return [shown(image) for image in inputs]


def shown(image: torch.Tensor) -> Pixels:
    """(C, H, W) in 0…1 as it is shown: of more channels than three the first one."""
    array = image.permute(1, 2, 0).numpy()
    return np.asarray(array if array.shape[2] in (1, 3) else array[..., :1], dtype=np.float32)


def _short(name: str, most: int = 18) -> str:
    return name if len(name) <= most else name[: most - 1] + "…"
