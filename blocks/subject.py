"""What a command is about: a network named on a command line, with what is known of it."""

import math
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import yaml

from blocks.arch import ArchSpec, parse_arch
from blocks.errors import DAMAGED, ArchError, one_line
from blocks.images.reading import PUBLISHED, USUAL, Reading, reading_from
from blocks.yaml_text import load_yaml
from blocks.zoo import find_arch

NO_TOP_1: Final = (
    "no top-1: an image of this network may have several labels (task: multilabel); `python -m "
    "search run` wrote its mAP into b0.yaml"
)


@dataclass(frozen=True)
class Subject:
    """`name` is fit for a file name. `weights`, `mean`, `std`, `classes` and `reading` are what its
    file says; so is `task`, multilabel where an image may have several labels, which are those of
    at least the probability `threshold`.

    `mean` and `std` are per channel, of pixels in 0…1; `reading` is how its images were read.
    """

    name: str
    arch: ArchSpec
    num_classes: int = 1000
    weights: Path | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    classes: tuple[str, ...] | None = None
    reading: Reading = USUAL
    task: str = "classes"
    threshold: float | None = None

    @property
    def several(self) -> bool:
        """Whether an image may have several labels."""
        return self.task == "multilabel"


def read_subject(text: str, num_classes: int | None = None) -> Subject:
    """A name of the zoo, a spelling, a YAML file that a search, a family or a training wrote, or a
    folder that holds one of these: model.yaml or b0.yaml.

    `num_classes`, where given, is instead of the file's, or of ImageNet's 1,000.

    Raises:
        ArchError: none of the three, a file without a readable `arch`, or no classes.
    """
    path = file_of(Path(text))
    if path.suffix in (".yaml", ".yml"):
        subject = _read_file(path)
    else:
        name = "network" if "[" in text else text
        subject = Subject(name, find_arch(text), reading=PUBLISHED)
    if num_classes is not None:
        known = subject.classes if num_classes == subject.num_classes else None
        subject = replace(subject, num_classes=num_classes, classes=known)
    if subject.num_classes < 1:
        raise ArchError(f"num_classes {subject.num_classes} is not a whole number of 1 or more")
    return subject


HELD: Final = ("model.yaml", "b0.yaml")
"""What a folder of a trained network, and that of a study, is asked for."""


def file_of(path: Path) -> Path:
    """The YAML file that a folder holds; what is no such folder as it is."""
    try:
        return next((path / name for name in HELD if (path / name).is_file()), path)
    except OSError:  # a spelling may be longer than any file's name
        return path


def _read_file(path: Path) -> Subject:
    try:
        content: Any = load_yaml(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ArchError(f"cannot read {path}: {error.strerror}") from None
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise ArchError(f"{path} is not YAML: {one_line(error)}") from None
    if not isinstance(content, dict) or not isinstance(content.get("arch"), str):
        raise ArchError(f"{path} has no field 'arch' with the spelling of an architecture")
    try:
        arch = parse_arch(content["arch"])
    except ArchError as error:
        raise ArchError(f"{path}: {error}") from None
    num_classes = content.get("num_classes", 1000)
    if isinstance(num_classes, bool) or not isinstance(num_classes, int):
        raise ArchError(f"{path}: num_classes {num_classes!r} is not a whole number of 1 or more")
    weights = content.get("weights")
    if weights is not None and not isinstance(weights, str):
        raise ArchError(f"{path}: weights {weights!r} is not the name of a file")
    moments = content.get("normalisation", {})
    mean, std = (_moment(path, arch, moments, name) for name in ("mean", "std"))
    threshold = content.get("threshold")
    if threshold is not None and not isinstance(threshold, int | float):
        raise ArchError(f"{path}: threshold {threshold!r} is not a number")
    return Subject(
        name=_name(path, content.get("name")),
        arch=arch,
        num_classes=num_classes,
        weights=path.parent / weights if weights is not None else None,
        mean=mean,
        std=std,
        classes=_classes(content.get("dataset"), num_classes),
        reading=_reading(path, content.get("reading"), usual_reading(mean)),
        task=str(content.get("task", "classes")),
        threshold=None if threshold is None else float(threshold),
    )


def usual_reading(mean: object) -> Reading:
    """How images are read for a network of which no file says it: a search and a training say what
    they normalise by, and read the whole square; others are meant as published."""
    return PUBLISHED if mean is None else USUAL


def _name(path: Path, name: Any) -> str:
    """Of what is trained, files are all called model.yaml."""
    if path.name != HELD[0]:
        return path.stem
    known = isinstance(name, str) and re.fullmatch(r"\w[\w.-]*", name)
    return name if known else path.absolute().parent.name


def _classes(dataset: Any, num_classes: int) -> tuple[str, ...] | None:
    """The names of the classes, where the file has all of them."""
    names = dataset.get("classes") if isinstance(dataset, dict) else None
    if not isinstance(names, list) or len(names) != num_classes:
        return None
    return tuple(map(str, names))


def _reading(path: Path, content: Any, usual: Reading) -> Reading:
    if content is None:
        return usual
    try:
        return reading_from(content)
    except DAMAGED as error:
        raise ArchError(f"{path}: reading {content!r}: {one_line(error)}") from None


def _moment(path: Path, arch: ArchSpec, moments: Any, name: str) -> tuple[float, ...] | None:
    if not isinstance(moments, dict):
        raise ArchError(f"{path}: normalisation {moments!r} is not a mapping of mean and std")
    values = moments.get(name)
    if values is None:
        return None
    if (
        not isinstance(values, list)
        or len(values) != arch.in_channels
        or not all(isinstance(value, int | float) and math.isfinite(value) for value in values)
        or (name == "std" and min(values) <= 0)
    ):
        raise ArchError(
            f"{path}: normalisation.{name} {values!r} is not a list of {arch.in_channels} "
            f"{'positive ' if name == 'std' else ''}numbers, one for each channel"
        )
    return tuple(float(value) for value in values)
