"""Which networks are trained: members of a study's family, or one that is named."""

import math
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from blocks.arch import ArchSpec, size_from
from blocks.names import did_you_mean
from blocks.subject import read_subject
from blocks.yaml_text import load_yaml
from scaling.compound import ScalingError
from scaling.training.config import TrainConfig
from search.record.folder import StudyFolder

LEAST_DROPOUT, MOST_DROPOUT, LARGEST = 0.2, 0.5, 7
"""Of the paper's b0 and b7 (arXiv 1905.11946, §5.2): dropout grows linearly in between."""
_NUMBERED: Final = re.compile(r"b(\d+)")


@dataclass(frozen=True)
class Target:
    """A network to train. `name` is that of its folder; `phi` how far it is from b0. Of a published
    network that is a member's rival: `rival_of`, the member, and `made`, what was done to it."""

    name: str
    arch: ArchSpec
    phi: float = 0.0
    dropout: float | None = None
    rival_of: str | None = None
    made: str | None = None

    @property
    def sized_dropout(self) -> float:
        """The dropout of a network of this size: the published table's, or by φ."""
        if self.dropout is not None:
            return self.dropout
        grown = (MOST_DROPOUT - LEAST_DROPOUT) * self.phi / LARGEST
        return min(MOST_DROPOUT, max(LEAST_DROPOUT, LEAST_DROPOUT + grown))


def find_targets(config: TrainConfig, folder: StudyFolder) -> list[Target]:
    """The networks that the settings name.

    Raises:
        ScalingError: there is no such member; names those that there are.
        ArchError: what is named is no network.
    """
    if config.network is not None:
        targets = [_named(config.network)]
    else:
        targets = [_of_file(path) for path in _members(config.member or "b0", folder)]
    if config.resolution is not None:
        size = size_from(config.resolution, "resolution")
        targets = [replace(each, arch=each.arch.with_image(size)) for each in targets]
    if config.name is not None:
        if len(targets) > 1:
            raise ScalingError(f"name={config.name} is of one network, not of {len(targets)}")
        targets = [replace(targets[0], name=config.name)]
    return targets


def suggested_study(config: TrainConfig) -> tuple[str, str] | None:
    """(results_dir, name) of the study in whose folder the network's file lies."""
    if config.study is not None or config.network is None:
        return None
    path = Path(config.network)
    if path.suffix not in (".yaml", ".yml"):
        return None
    for parent in list(path.absolute().parents)[:3]:
        if (parent / "config.yaml").is_file():
            return str(parent.parent), parent.name
    return None


def member_files(folder: StudyFolder) -> dict[str, Path]:
    """The members of a study by name: b0, and what `scaling emit` wrote."""
    found = {}
    if (folder / "b0.yaml").is_file():
        found["b0"] = folder / "b0.yaml"
    family = [path for path in (folder / "family").glob("*.yaml") if path.stem != "b0"]
    return found | {path.stem: path for path in sorted(family, key=_by_number)}


def _by_number(path: Path) -> tuple[int, str]:
    numbered = _NUMBERED.fullmatch(path.stem)
    return (int(numbered[1]) if numbered else 10**6, path.stem)


def _members(text: str, folder: StudyFolder) -> list[Path]:
    known = member_files(folder)
    if not known:
        raise ScalingError(
            f"{folder.path} has no member yet; finish its search first: python -m search run "
            f"study={folder.study}"
        )
    if text == "all":
        return list(known.values())
    names: list[str] = []
    for part in text.split(","):
        first, dots, last = part.partition("..")
        ends = _NUMBERED.fullmatch(first), _NUMBERED.fullmatch(last)
        if dots and ends[0] and ends[1]:
            names += [f"b{number}" for number in range(int(ends[0][1]), int(ends[1][1]) + 1)]
        else:
            names.append(part)
    for name in names:
        if name not in known:
            hint = ""
            if len(known) == 1:
                hint = f"; python -m scaling emit study={folder.study} writes the others"
            raise ScalingError(
                f"member={text}: {folder.path} has no {name!r}, but {', '.join(known)}"
                f"{did_you_mean(name, known)}{hint}"
            )
    return [known[name] for name in dict.fromkeys(names)]


def _of_file(path: Path) -> Target:
    subject = read_subject(str(path))
    content = load_yaml(path.read_text(encoding="utf-8"))
    own = _number(content, "dropout")
    return Target(subject.name, subject.arch, _phi(content), own)


def _phi(content: dict[str, Any]) -> float:
    """φ as it is written, or by how many times b0's macs a member costs."""
    phi = _number(content, "phi")
    if phi is not None:
        return phi
    ratio = content.get("ratio_to_b0")
    macs = _number(ratio, "macs") if isinstance(ratio, dict) else None
    return math.log2(macs) if macs else 0.0


def _number(content: dict[str, Any], name: str) -> float | None:
    value = content.get(name)
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def _named(text: str) -> Target:
    if Path(text).is_dir() and (Path(text) / "model.yaml").is_file():
        text = str(Path(text) / "model.yaml")
    if Path(text).suffix in (".yaml", ".yml"):
        found = _of_file(Path(text))
        parent = Path(text).absolute().parent
        return replace(found, name=parent.name) if found.name == "model" else found
    subject = read_subject(text)
    return Target(subject.name, subject.arch)
