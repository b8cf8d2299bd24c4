"""What a command is about: a network named on a command line, with what is known of it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from blocks.arch import ArchSpec, parse_arch
from blocks.errors import ArchError
from blocks.zoo import find_arch


@dataclass(frozen=True)
class Subject:
    """`name` is fit for a file name. `weights`, `mean` and `std` are what its file says.

    `mean` and `std` are per channel, of pixels in 0…1.
    """

    name: str
    arch: ArchSpec
    num_classes: int = 1000
    weights: Path | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None


def read_subject(text: str, num_classes: int | None = None) -> Subject:
    """A name of the zoo, a spelling, or a YAML file that a search or a family wrote.

    Raises:
        ArchError: none of the three, or a file without a readable `arch`.
    """
    path = Path(text)
    if path.suffix in (".yaml", ".yml"):
        subject = _read_file(path)
    else:
        arch = find_arch(text)
        subject = Subject("network" if "[" in text else text, arch)
    if num_classes is None:
        return subject
    return Subject(
        subject.name, subject.arch, num_classes, subject.weights, subject.mean, subject.std
    )


def _read_file(path: Path) -> Subject:
    try:
        content: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise ArchError(f"cannot read {path}: {reason}") from None
    if not isinstance(content, dict) or not isinstance(content.get("arch"), str):
        raise ArchError(f"{path} has no field 'arch' with the spelling of an architecture")
    num_classes = content.get("num_classes", 1000)
    if isinstance(num_classes, bool) or not isinstance(num_classes, int) or num_classes < 1:
        raise ArchError(f"{path}: num_classes {num_classes!r} is not a whole number of 1 or more")
    weights = content.get("weights")
    moments = content.get("normalisation") or {}
    return Subject(
        name=path.stem,
        arch=parse_arch(content["arch"]),
        num_classes=num_classes,
        weights=path.parent / weights if isinstance(weights, str) else None,
        mean=tuple(moments["mean"]) if "mean" in moments else None,
        std=tuple(moments["std"]) if "std" in moments else None,
    )
