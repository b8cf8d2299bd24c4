"""Writing a family: every member is built, counted, and confirmed by fvcore."""

import contextlib
import time
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import yaml

from blocks.cost import Cost, count, referee
from blocks.network import Network
from scaling.config import ScalingConfig
from scaling.family.member import Member
from scaling.family.members import Origin, find_members
from scaling.family.origin import family_folder, find_origin
from scaling.family.record import family_row, is_extrapolated, member_content
from scaling.latency_targets import QUIET, LatencyListener
from search.record.folder import StudyFolder, StudyLock


@dataclass(frozen=True)
class Family:
    """A family on disk: `path` is its folder, `base` what B0 costs, `seconds` how long it took.

    `trained`: the macs over B0's of the largest network that the coefficients were fitted to; None:
    nothing was fitted, or it is not known.
    """

    study: str
    path: Path
    members: tuple[Member, ...]
    base: Cost
    seconds: float
    trained: float | None = None

    @property
    def extrapolated(self) -> list[str]:
        """Names of the members that cost more than all that the coefficients were fitted to."""
        if self.trained is None:
            return []
        return [
            member.name
            for member in self.members
            if is_extrapolated(member.cost.macs, self.base.macs, self.trained)
        ]


def emit(config: ScalingConfig, listener: LatencyListener = QUIET) -> Family:
    """Write `family/b0.yaml …` and `family/family.csv`.

    `scaling/family` is a link to it, beside what else scaling leaves.

    Raises:
        ScalingError, StudyError, ArchError, LatencyError: see the messages.
        CostMismatchError: a built member does not cost what was counted.
    """
    started = time.perf_counter()
    folder = family_folder(config)
    origin = find_origin(config, folder)
    # Of a baseline there is no study that another command might be at.
    with StudyLock(folder) if config.baseline is None else contextlib.nullcontext():
        members = find_members(config, origin, listener)
        base = count(origin.arch, origin.num_classes)
        _write(folder, origin, members, base)
    seconds = time.perf_counter() - started
    return Family(folder.study, folder / "family", tuple(members), base, seconds, origin.trained)


def _write(folder: StudyFolder, origin: Origin, members: list[Member], base: Cost) -> None:
    rows = []
    for member in members:
        cost = referee(Network(member.arch, origin.num_classes))
        content = member_content(member, cost, base, origin)
        folder.write(
            f"family/{member.name}.yaml", yaml.safe_dump(content, sort_keys=False, width=10_000)
        )
        rows.append(family_row(content))
    _clear(folder, {member.name for member in members})
    folder.write("family/family.csv", pd.DataFrame(rows).to_csv(index=False))
    _link(folder)


def _clear(folder: StudyFolder, names: set[str]) -> None:
    """Remove the members of an earlier family: b*.yaml, and what its family.csv lists."""
    listed: set[str] = set()
    with contextlib.suppress(OSError, ValueError, KeyError):
        listed = set(pd.read_csv(folder / "family/family.csv")["name"].astype(str))
    for stale in (folder / "family").glob("*.yaml"):
        if stale.stem not in names and (stale.stem in listed or stale.stem.startswith("b")):
            stale.unlink()


def _link(folder: StudyFolder) -> None:
    """`scaling/family`: the same files, beside the other records of scaling."""
    link = folder / "scaling" / "family"
    link.parent.mkdir(exist_ok=True)
    # A file system without links leaves it out.
    with contextlib.suppress(OSError):
        if not link.is_symlink():
            link.symlink_to(Path("..") / "family", target_is_directory=True)
