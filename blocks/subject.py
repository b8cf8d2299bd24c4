"""What a command is about: a network named on a command line, with what is known of it."""

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import yaml

from blocks.arch import ArchSpec, parse_arch
from blocks.errors import ArchError, one_line
from blocks.images.reading import USUAL, Reading, reading_from
from blocks.zoo import find_arch

NO_TOP_1: Final = (
    "no top-1: an image of this network may have several labels (task: multilabel); `python -m "
    "search run` wrote its mAP into b0.yaml"
)


@dataclass(frozen=True)
class Subject:
    """`name` is fit for a file name. `weights`, `mean`, `std`, `classes` and `reading` are what its
    file says; so is `task`, multilabel where an image may have several labels.

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

    @property
    def several(self) -> bool:
        """Whether an image may have several labels."""
        return self.task == "multilabel"


def read_subject(text: str, num_classes: int | None = None) -> Subject:
    """A name of the zoo, a spelling, or a YAML file that a search or a family wrote.

    `num_classes`, where given, is instead of the file's, or of ImageNet's 1,000.

    Raises:
        ArchError: none of the three, a file without a readable `arch`, or no classes.
    """
    path = Path(text)
    if path.suffix in (".yaml", ".yml"):
        subject = _read_file(path)
    else:
        subject = Subject("network" if "[" in text else text, find_arch(text))
    if num_classes is not None:
        known = subject.classes if num_classes == subject.num_classes else None
        subject = replace(subject, num_classes=num_classes, classes=known)
    if subject.num_classes < 1:
        raise ArchError(f"num_classes {subject.num_classes} is not a whole number of 1 or more")
    return subject


def _read_file(path: Path) -> Subject:
    try:
        content: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ArchError(f"cannot read {path}: {error.strerror}") from None
    except (ValueError, RecursionError, yaml.YAMLError) as error:  # PyYAML lets dates and depth be
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
    return Subject(
        name=path.stem,
        arch=arch,
        num_classes=num_classes,
        weights=path.parent / weights if weights is not None else None,
        mean=mean,
        std=std,
        classes=_classes(content.get("dataset"), num_classes),
        reading=_reading(path, content.get("reading")),
        task=str(content.get("task", "classes")),
    )


def _classes(dataset: Any, num_classes: int) -> tuple[str, ...] | None:
    """The names of the classes, where the file has all of them."""
    names = dataset.get("classes") if isinstance(dataset, dict) else None
    if not isinstance(names, list) or len(names) != num_classes:
        return None
    return tuple(map(str, names))


def _reading(path: Path, content: Any) -> Reading:
    if content is None:
        return USUAL
    try:
        return reading_from(content)
    except (TypeError, ValueError) as error:
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
