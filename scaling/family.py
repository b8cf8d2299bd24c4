"""B0 to B7: emitted, built, counted, checked."""

import time
from dataclasses import asdict, dataclass
from typing import Any

import pandas as pd
import yaml
from rich.table import Table

from blocks.arch import ArchSpec, arch_to_mapping, format_arch
from blocks.console import console, duration, millions
from blocks.cost import Cost, count, referee
from blocks.network import Network
from blocks.zoo import EFFICIENTNET_B0, EFFICIENTNET_SCALING, ZOO, find_arch
from scaling.compound import ScalingCoefficients, ScalingError, scale, scale_compound
from scaling.config import ScalingConfig, given_coefficients
from scaling.fit import read_coefficients
from search.record import StudyFolder
from search.run import read_baseline

MAX_MEMBER_MACS = 10**12
"""Twice EfficientNet-L2: beyond it a member could not be built and checked on most machines."""


@dataclass(frozen=True)
class Member:
    """One network of a family, with the multipliers that made it."""

    name: str
    arch: ArchSpec
    width: float
    depth: float
    phi: float | None  # None: a row of the published table, which follows no φ
    dropout: float | None


def published_family(baseline: ArchSpec, rounding: str = "paper") -> list[Member]:
    """B0–B7 by the published table; its resolutions are taken relative to 224 pixels."""
    return [
        Member(
            name=name.removeprefix("efficientnet_"),
            arch=scale(
                baseline,
                row.width,
                row.depth,
                round(baseline.resolution * row.resolution / EFFICIENTNET_B0.resolution),
                rounding,
            ),
            width=row.width,
            depth=row.depth,
            phi=None,
            dropout=row.dropout,
        )
        for name, row in EFFICIENTNET_SCALING.items()
    ]


def compound_family(
    baseline: ArchSpec, coefficients: ScalingCoefficients, members: int, rounding: str = "paper"
) -> list[Member]:
    """b0, b1, …: φ = 0, 1, …"""
    return [
        Member(
            name=f"b{phi}",
            arch=scale_compound(baseline, coefficients, phi, rounding),
            width=coefficients.beta**phi,
            depth=coefficients.alpha**phi,
            phi=float(phi),
            dropout=None,
        )
        for phi in range(members)
    ]


def emit(config: ScalingConfig) -> StudyFolder:
    """Write `family/b0.yaml …` and `family/family.csv`; every member is built and counted.

    Raises:
        ScalingError, StudyError, ArchError: see the messages.
        CostMismatchError: a built member does not cost what was counted.
    """
    started = time.perf_counter()
    if config.baseline is not None:
        baseline, num_classes = find_arch(config.baseline), config.num_classes
        rounding = config.rounding or "paper"
        name = config.study or (config.baseline if config.baseline in ZOO else "baseline")
        folder = StudyFolder(config.results_dir, name)
        if (folder / "config.yaml").exists():
            raise ScalingError(
                f"{folder.path} is the study of a search; give the family of baseline="
                f"{config.baseline} a folder of its own with study=…"
            )
    else:
        folder = StudyFolder(config.results_dir, config.study or "main").require()
        chosen = read_baseline(folder)
        baseline, num_classes = chosen.arch, chosen.num_classes
        rounding = config.rounding or chosen.rounding
    coefficients: ScalingCoefficients | None = None
    if config.coefficients == "published":
        members = published_family(baseline, rounding)[: config.members]
    else:
        coefficients = (
            read_coefficients(folder.require(), baseline)
            if config.coefficients == "fitted"
            else given_coefficients(config)
        )
        members = compound_family(baseline, coefficients, config.members, rounding)
    base = count(baseline, num_classes)
    for member in members:
        macs = count(member.arch, num_classes).macs
        if macs > MAX_MEMBER_MACS:
            raise ScalingError(
                f"{member.name} would have {macs:.3g} macs; expected at most "
                f"{MAX_MEMBER_MACS:.0e}: fewer members or smaller coefficients"
            )
    rows = []
    for member in members:
        cost = referee(Network(member.arch, num_classes))
        content = _content(member, cost, base, num_classes, coefficients, rounding)
        folder.write(
            f"family/{member.name}.yaml", yaml.safe_dump(content, sort_keys=False, width=10_000)
        )
        rows.append(_row(member, cost, base, rounding))
    for stale in (folder / "family").glob("b*.yaml"):
        if stale.stem not in {member.name for member in members}:
            stale.unlink()
    table = pd.DataFrame(rows)
    folder.write("family/family.csv", table.to_csv(index=False))
    _print(table, folder, coefficients)
    console.print(
        f"{len(members)} members built, counted and confirmed by fvcore in "
        f"{duration(time.perf_counter() - started)}: {folder / 'family'}"
    )
    return folder


def _row(member: Member, cost: Cost, base: Cost, rounding: str) -> dict[str, Any]:
    return {
        "name": member.name,
        "phi": member.phi,
        "width": round(member.width, 6),
        "depth": round(member.depth, 6),
        "resolution": member.arch.resolution,
        "blocks": sum(stage.repeats for stage in member.arch.stages),
        **asdict(cost),
        "macs_ratio": cost.macs / base.macs,
        "rounding": rounding,
        "arch": format_arch(member.arch),
    }


def _content(
    member: Member,
    cost: Cost,
    base: Cost,
    num_classes: int,
    coefficients: ScalingCoefficients | None,
    rounding: str,
) -> dict[str, Any]:
    content: dict[str, Any] = {
        "name": member.name,
        "arch": format_arch(member.arch),
        "num_classes": num_classes,
        "resolution": member.arch.resolution,
        "width_multiplier": round(member.width, 6),
        "depth_multiplier": round(member.depth, 6),
        "rounding": rounding,
    }
    if member.phi is not None and coefficients is not None:
        content["phi"] = member.phi
        content["coefficients"] = {
            "alpha": coefficients.alpha,
            "beta": coefficients.beta,
            "gamma": coefficients.gamma,
        }
        content["nominal_macs_ratio"] = round(coefficients.nominal_cost**member.phi, 4)
    else:
        content["coefficients"] = "published"
    if member.dropout is not None:
        content["dropout"] = member.dropout
    content["cost"] = asdict(cost)
    content["ratio_to_b0"] = {
        "params": round(cost.params / base.params, 4),
        "macs": round(cost.macs / base.macs, 4),
        "flops_fvcore": round(cost.flops_fvcore / base.flops_fvcore, 4),
    }
    content["fields"] = arch_to_mapping(member.arch)
    return content


def _print(
    table: pd.DataFrame, folder: StudyFolder, coefficients: ScalingCoefficients | None
) -> None:
    title = "published table" if coefficients is None else (
        f"α={coefficients.alpha:g}, β={coefficients.beta:g}, γ={coefficients.gamma:g}"
    )  # fmt: skip
    shown = Table(title=f"Family of {folder.study} ({title})", title_justify="left")
    headings = ("name", "resolution", "blocks", "params", "macs", "flops_fvcore", "macs / b0")
    for heading in headings:
        shown.add_column(heading, justify="left" if heading == "name" else "right")
    for row in table.to_dict("records"):
        shown.add_row(
            row["name"],
            str(row["resolution"]),
            str(row["blocks"]),
            f"{row['params']:,}",
            millions(row["macs"]),
            millions(row["flops_fvcore"]),
            f"{row['macs_ratio']:.2f}×",
        )
    console.print(shown)
