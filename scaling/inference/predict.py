"""What is written of each image: its classes, as a line of JSON or of CSV."""

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path

from torch import Tensor

from scaling.inference.answers import Answers
from scaling.inference.model import Model


def lines_of(model: Model, answers: Answers, top: int, threshold: float) -> Iterator[str]:
    """A line of JSON for each image: its file, and its class with the probability, or all `labels`
    of at least `threshold`; `top`: the most probable ones, the first one first."""
    for path, row in zip(answers.paths, answers.found, strict=True):
        best = best_of(model, row, top)
        said: dict[str, object] = {"file": name_of(path)}
        if model.subject.several:
            said["labels"] = labels_of(model, row, threshold)
        else:
            said |= {"class": best[0][0], "probability": best[0][1]}
        yield json.dumps({**said, "top": dict(best)}, ensure_ascii=False)


def csv_head(model: Model, top: int) -> str:
    """The first line of CSV, the names of its columns."""
    places = range(1, min(top, len(model.classes)) + 1)
    ranked = [name for n in places for name in (f"class_{n}", f"probability_{n}")]
    return _csv(["file", *(["labels"] if model.subject.several else []), *ranked])


def csv_lines(model: Model, answers: Answers, top: int, threshold: float) -> Iterator[str]:
    """A line of CSV for each image; several labels are parted by semicolons."""
    for path, row in zip(answers.paths, answers.found, strict=True):
        labels = [";".join(labels_of(model, row, threshold))] if model.subject.several else []
        ranked = [value for pair in best_of(model, row, top) for value in pair]
        yield _csv([name_of(path), *labels, *ranked])


def best_of(model: Model, row: Tensor, top: int) -> list[tuple[str, float]]:
    """The most probable classes of an image, and their probabilities."""
    values, numbers = row.topk(min(top, len(row)))
    pairs = zip(numbers.tolist(), values.tolist(), strict=True)
    return [(model.classes[number], round(value, 6)) for number, value in pairs]


def labels_of(model: Model, row: Tensor, threshold: float) -> list[str]:
    """All labels of at least that probability."""
    return [model.classes[number] for number in (row >= threshold).nonzero().flatten().tolist()]


def name_of(path: Path) -> str:
    """As it was given; what is not UTF-8 with its bytes in hex. An image from standard input: -."""
    text = "-" if path.name == "-" else str(path)
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _csv(values: list[object]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="").writerow(values)
    return buffer.getvalue()
