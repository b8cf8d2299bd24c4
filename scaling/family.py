"""B0 to B7: emitted, built, counted, checked."""

import contextlib
import math
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import pandas as pd
import yaml
from rich.table import Table

from blocks.arch import ArchSpec, arch_to_mapping, format_arch
from blocks.console import console, duration, millions
from blocks.cost import Cost, count, referee
from blocks.errors import ArchError, one_line
from blocks.latency.measure import Latency
from blocks.machine import versions
from blocks.network import Network
from blocks.zoo import EFFICIENTNET_B0, EFFICIENTNET_SCALING, ZOO, find_arch
from scaling.compound import ScalingCoefficients, ScalingError, scale, scale_compound
from scaling.config import ScalingConfig, given_coefficients, literal_table
from scaling.fit.run import read_fit
from scaling.latency_targets import measure_here, solve_latencies
from scaling.rules import RULES, Rule, compound, find_rule
from scaling.solve import MOST, Solution, Target, solve_family
from search.config.quantities import parse_quantity
from search.errors import StudyError
from search.record.folder import StudyFolder, StudyLock
from search.study.baseline import read_baseline

REALISED: Final = ("depth", "width", "resolution", "deviation")
"""Of a solution, what its member's YAML records."""


@dataclass(frozen=True)
class Member:
    """One network of a family, with the multipliers that made it."""

    name: str
    arch: ArchSpec
    width: float
    depth: float
    phi: float | None  # None: a row of the published table, which follows no φ
    dropout: float | None
    rule: str = "compound"
    coefficients: ScalingCoefficients | None = None
    late_depth: float = 1.0
    repeats: str = "up"
    target: Target | None = None
    solution: Solution | None = None
    latency: Latency | None = None
    latency_target: float | None = None


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
            rule="published",
        )
        for name, row in EFFICIENTNET_SCALING.items()
    ]


def compound_family(
    baseline: ArchSpec, coefficients: ScalingCoefficients, members: int, rounding: str = "paper"
) -> list[Member]:
    """b0, b1, …: φ = 0, 1, …"""
    return [compound_member(baseline, coefficients, float(phi), rounding) for phi in range(members)]


def compound_member(
    baseline: ArchSpec, coefficients: ScalingCoefficients, phi: float, rounding: str = "paper"
) -> Member:
    """α^φ, β^φ, γ^φ as the paper rounds them, whatever that costs."""
    return Member(
        name=f"b{phi:g}",
        arch=scale_compound(baseline, coefficients, phi, rounding),
        width=coefficients.beta**phi,
        depth=coefficients.alpha**phi,
        phi=phi,
        dropout=None,
        coefficients=coefficients,
    )


def emit(config: ScalingConfig) -> StudyFolder:
    """Write `family/b0.yaml …` and `family/family.csv`; every member is built and counted.

    `scaling/family` is a link to it, beside what else scaling leaves.

    Raises:
        ScalingError, StudyError, ArchError, LatencyError: see the messages.
        CostMismatchError: a built member does not cost what was counted.
    """
    started = time.perf_counter()
    origin = _origin(config)
    # Of a baseline there is no study that another command might be at.
    with StudyLock(origin.folder) if config.baseline is None else contextlib.nullcontext():
        table, members = _emit(config, origin)
    _print(table, origin.folder, members)
    console.print(
        f"{len(members)} members built, counted and confirmed by fvcore in "
        f"{duration(time.perf_counter() - started)}: {origin.folder / 'family'}"
    )
    return origin.folder


def _emit(config: ScalingConfig, origin: "_Origin") -> tuple[pd.DataFrame, list[Member]]:
    folder, baseline, num_classes = origin.folder, origin.arch, origin.num_classes
    base = count(baseline, num_classes)
    members = _members(config, origin, base)
    for member in members:
        macs = count(member.arch, num_classes).macs
        if macs > MOST:
            raise ScalingError(
                f"{member.name} would have {macs:.3g} macs; expected at most "
                f"{MOST:.0e}: fewer members or smaller coefficients"
            )
    rows = []
    for member in members:
        cost = referee(Network(member.arch, num_classes))
        content = _content(member, cost, base, origin)
        folder.write(
            f"family/{member.name}.yaml", yaml.safe_dump(content, sort_keys=False, width=10_000)
        )
        rows.append(family_row(content))
    _clear(folder, {member.name for member in members})
    table = pd.DataFrame(rows)
    folder.write("family/family.csv", table.to_csv(index=False))
    _link(folder)
    return table, members


@dataclass(frozen=True)
class _Origin:
    """What a family grows from.

    `dataset`: what b0.yaml says of the images of a study; `fitted`: the coefficients of
    coefficients.yaml, where those are asked for.
    """

    folder: StudyFolder
    arch: ArchSpec
    num_classes: int
    rounding: str
    dataset: dict[str, str] | None
    fitted: ScalingCoefficients | None


def _origin(config: ScalingConfig) -> _Origin:
    asked = config.coefficients == "fitted" and config.rule in (None, "compound")
    folder = family_folder(config)
    if config.baseline is None:
        chosen = read_baseline(folder.require())
        fitted, rounding = read_fit(folder, chosen.arch) if asked else (None, None)
        rounding = config.rounding or rounding or chosen.rounding
        dataset = read_dataset(folder)
        return _Origin(folder, chosen.arch, chosen.num_classes, rounding, dataset, fitted)
    if asked:
        raise ScalingError(
            f"baseline={config.baseline} has no fitted coefficients; expected "
            "coefficients=[alpha,beta,gamma], coefficients=published, or a rule=…"
        )
    if (folder / "config.yaml").exists():
        raise ScalingError(
            f"{folder.path} is the study of a search; give the family of baseline="
            f"{config.baseline} a folder of its own with study=…"
        )
    arch = find_arch(config.baseline)
    return _Origin(folder, arch, config.num_classes, config.rounding or "paper", None, None)


def family_folder(config: ScalingConfig) -> StudyFolder:
    """Where the family of a study or of a baseline is; a baseline may have a study= of its own."""
    name = config.baseline
    if name is not None and name not in ZOO:
        name = "baseline"
    return StudyFolder(config.results_dir, config.study or name or "main")


def read_dataset(folder: StudyFolder) -> dict[str, str] | None:
    """Name and sha256 of the images of a study's B0; None where b0.yaml does not say.

    Raises:
        StudyError: the file is damaged.
    """
    path = folder / "b0.yaml"
    try:
        said = yaml.safe_load(path.read_text(encoding="utf-8")).get("dataset")
        return None if said is None else {"name": said["name"], "sha256": said["sha256"]}
    except (yaml.YAMLError, KeyError, TypeError, AttributeError, UnicodeDecodeError) as error:
        raise StudyError(f"{path} is damaged: {one_line(error)}") from None


def _members(config: ScalingConfig, origin: _Origin, base: Cost) -> list[Member]:
    baseline, rounding = origin.arch, origin.rounding
    if literal_table(config):
        return published_family(baseline, rounding)[: config.members]
    coefficients: ScalingCoefficients | None = None
    if config.rule in (None, "compound") and config.coefficients != "published":
        coefficients = origin.fitted or given_coefficients(config)
        rule = compound(coefficients)
    else:
        rule = find_rule(config.rule or "published")
    if config.latency_ms is not None:
        return _timed_members(config, origin, rule, coefficients)
    phis = config.phis if config.phis is not None else [float(k) for k in range(config.members)]
    if config.exact is False:
        return [_formula_member(origin, rule, coefficients, phi) for phi in sorted({0.0, *phis})]
    own = getattr(base, config.metric)
    if config.budgets is not None:
        budgets = [parse_quantity("budgets", value) for value in config.budgets]
        wanted = sorted((value, _budget_name(value)) for value in budgets)
        if len({name for _, name in wanted}) < len(wanted):
            raise ScalingError(f"budgets={config.budgets} names a member twice")
    else:
        wanted = [(own * 2.0**phi, f"b{phi:g}") for phi in sorted(phis) if phi != 0]
    for value, name in wanted:
        if value < (1 - config.tolerance) * own and not rule.shrinks:
            shrinking = ", ".join(other for other, known in RULES.items() if known.shrinks)
            raise ScalingError(
                f"{name} of {value:.4g} {config.metric} is below B0's {own:.4g} and rule "
                f"{rule.name} only grows; expected B0's or more, or a rule that shrinks: "
                f"{shrinking}"
            )
    targets = [Target(config.metric, value, config.tolerance) for value, _ in wanted]
    solutions = solve_family(baseline, rule, targets, origin.num_classes, rounding)
    members = [_baseline_member(baseline, rule, coefficients)]
    for (value, name), target, solution in zip(wanted, targets, solutions, strict=True):
        if abs(solution.residual) > config.tolerance:
            console.print(
                f"{name}: the nearest network has {getattr(solution.cost, config.metric):,} "
                f"{config.metric}, {solution.residual:+.1%} of {value:,.0f}; rounding allows none "
                "nearer"
            )
        members.append(
            _solved_member(name, solution, rule, coefficients, math.log2(value / own), target)
        )
    return sorted(members, key=lambda member: member.phi or 0.0)


def _baseline_member(
    baseline: ArchSpec, rule: Rule, coefficients: ScalingCoefficients | None
) -> Member:
    return Member("b0", baseline, 1.0, 1.0, 0.0, None, rule.name, coefficients)


def _solved_member(
    name: str,
    solution: Solution,
    rule: Rule,
    coefficients: ScalingCoefficients | None,
    phi: float,
    target: Target | None,
    latency: Latency | None = None,
) -> Member:
    return Member(
        name=name,
        arch=solution.arch,
        width=solution.width_multiplier,
        depth=solution.depth_multiplier,
        phi=phi,
        dropout=None,
        rule=rule.name,
        coefficients=coefficients,
        late_depth=solution.late_depth,
        repeats="nearest",
        target=target,
        solution=solution,
        latency=latency,
    )


def _formula_member(
    origin: _Origin, rule: Rule, coefficients: ScalingCoefficients | None, phi: float
) -> Member:
    """The rule's own multipliers, rounded as the paper rounds, whatever that costs."""
    name = f"b{phi:g}"
    if phi < 0 and not rule.shrinks:
        raise ScalingError(f"phis={phi:g} is below B0 and rule {rule.name} only grows")
    if phi == 0:
        return _baseline_member(origin.arch, rule, coefficients)
    if coefficients is not None:
        member = compound_member(origin.arch, coefficients, phi, origin.rounding)
        return replace(member, name=name)
    at = rule.at(2.0**phi)
    try:
        arch = scale(
            origin.arch,
            at.width,
            at.depth,
            round(origin.arch.resolution * at.resolution),
            origin.rounding,
            late_depth=at.late_depth,
        )
    except ArchError as error:
        raise ScalingError(f"rule {rule.name} at phis={phi:g}: {error}") from None
    return Member(name, arch, at.width, at.depth, phi, None, rule.name, late_depth=at.late_depth)


def _timed_members(
    config: ScalingConfig, origin: _Origin, rule: Rule, coefficients: ScalingCoefficients | None
) -> list[Member]:
    assert config.latency_ms is not None
    device, measure = measure_here(
        origin.num_classes, config.device, config.batch, config.threads, config.runtime
    )
    wanted = sorted(config.latency_ms)
    console.print(
        f"measuring on {device}, batch {config.batch}, {config.threads} thread(s), "
        f"{config.runtime}: each network until its median is settled"
    )
    members = [_baseline_member(origin.arch, rule, coefficients)]
    base = count(origin.arch, origin.num_classes).macs
    found = solve_latencies(origin.arch, rule, wanted, measure, origin.num_classes, origin.rounding)
    for milliseconds, timed in zip(wanted, found, strict=True):
        latency = timed.latency
        console.print(
            f"  {milliseconds:g} ms: measured median {latency.median_ms:.3f} ms "
            f"({latency.median_ms / milliseconds - 1:+.1%}; 95% interval {latency.low_ms:.3f} to "
            f"{latency.high_ms:.3f}, {latency.repeats} runs) at macs "
            f"{millions(timed.solution.cost.macs)}"
        )
        members.append(
            replace(
                _solved_member(
                    f"{milliseconds:g}ms",
                    timed.solution,
                    rule,
                    coefficients,
                    math.log2(timed.solution.cost.macs / base),
                    None,
                    latency,
                ),
                latency_target=milliseconds,
            )
        )
    return members


def _budget_name(value: int) -> str:
    """`100M`, `1.5G`: fit for a file name, and read back by `budgets=`."""
    for unit, size in (("G", 10**9), ("M", 10**6), ("k", 10**3)):
        if value >= size:
            return f"{value / size:.6g}{unit}"
    return str(value)


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


def family_row(content: dict[str, Any]) -> dict[str, Any]:
    """The line of family.csv of a member, from its YAML."""
    target, latency = content.get("target", {}), content.get("latency", {})
    if latency:
        target = {"metric": "latency_ms", "value": latency["target_ms"], **latency}
    return {
        "name": content["name"],
        "phi": content.get("phi"),
        "width": content["width_multiplier"],
        "depth": content["depth_multiplier"],
        "resolution": content["resolution"],
        "blocks": sum(stage["repeats"] for stage in content["fields"]["stages"]),
        **content["cost"],
        "macs_ratio": content["ratio_to_b0"]["macs"],
        "metric": target.get("metric"),
        "target": target.get("value"),
        "residual": target.get("residual"),
        "deviation": content.get("realised", {}).get("deviation"),
        "median_ms": latency.get("median_ms"),
        "rounding": content["rounding"],
        "arch": content["arch"],
    }


def member_costs(cost: Cost, base: Cost) -> dict[str, Any]:
    """What a member's YAML says of its cost."""
    return {
        "cost": asdict(cost),
        "ratio_to_b0": {
            "params": round(cost.params / base.params, 4),
            "macs": round(cost.macs / base.macs, 4),
            "flops_fvcore": round(cost.flops_fvcore / base.flops_fvcore, 4),
        },
    }


def _content(member: Member, cost: Cost, base: Cost, origin: _Origin) -> dict[str, Any]:
    content: dict[str, Any] = {
        "name": member.name,
        "arch": format_arch(member.arch),
        "num_classes": origin.num_classes,
        "resolution": member.arch.resolution,
        "width_multiplier": round(member.width, 12),
        "depth_multiplier": round(member.depth, 12),
        "late_depth": round(member.late_depth, 12),
        "repeats": member.repeats,
        "rounding": origin.rounding,
        "rule": member.rule,
    }
    if member.phi is not None:
        content["phi"] = round(member.phi, 6)
    coefficients = member.coefficients
    if coefficients is not None:
        content["coefficients"] = asdict(coefficients)
        content["fitted"] = origin.fitted is not None
        if member.phi is not None and member.solution is None and member.latency is None:
            # What the paper's own rounding was to cost; an exact member is solved for its target.
            content["nominal_macs_ratio"] = round(coefficients.nominal_cost**member.phi, 4)
    elif member.rule == "published":
        content["coefficients"] = "published"
    if member.dropout is not None:
        content["dropout"] = member.dropout
    if member.target is not None:
        target = asdict(member.target)
        reached = getattr(cost, member.target.metric)
        content["target"] = {**target, "residual": round(reached / member.target.value - 1, 6)}
    if member.latency is not None and member.latency_target is not None:
        milliseconds = member.latency_target
        content["latency"] = {
            "target_ms": milliseconds,
            "residual": round(member.latency.median_ms / milliseconds - 1, 6),
            **asdict(member.latency),
        }
    if member.solution is not None:
        content["realised"] = {name: round(getattr(member.solution, name), 6) for name in REALISED}
    content |= member_costs(cost, base)
    content["baseline"] = format_arch(origin.arch)
    if origin.dataset is not None:
        content["dataset"] = origin.dataset
    content["versions"] = versions()
    content["fields"] = arch_to_mapping(member.arch)
    return content


def _print(table: pd.DataFrame, folder: StudyFolder, members: list[Member]) -> None:
    timed = any(member.latency is not None for member in members)
    solved = timed or any(member.target is not None for member in members)
    title = "published table" if members[0].phi is None else f"rule {members[0].rule}"
    triple = members[0].coefficients
    if triple is not None:
        title = f"α={triple.alpha:g}, β={triple.beta:g}, γ={triple.gamma:g}"
    shown = Table(title=f"Family of {folder.study} ({title})", title_justify="left")
    headings = ["name", "resolution", "blocks", "params", "macs"]
    headings += (
        ["macs / b0", "residual", "d", "w", "r", "off rule"]
        if solved
        else ["flops_fvcore", "macs / b0"]
    )
    headings += ["median ms"] if timed else []
    for heading in headings:
        shown.add_column(heading, justify="left" if heading == "name" else "right")
    for row, member in zip(table.to_dict("records"), members, strict=True):
        cells = {
            "name": row["name"],
            "resolution": str(row["resolution"]),
            "blocks": str(row["blocks"]),
            "params": f"{row['params']:,}",
            "macs": millions(row["macs"]),
            "flops_fvcore": millions(row["flops_fvcore"]),
            "macs / b0": f"{row['macs_ratio']:.2f}×",
            "residual": "" if member.solution is None else f"{row['residual']:+.2%}",
            "median ms": "" if member.latency is None else f"{member.latency.median_ms:.3f}",
            **dict.fromkeys(("d", "w", "r", "off rule"), ""),
        }
        if member.solution is not None:
            cells |= {
                letter: f"{getattr(member.solution, name):.2f}"
                for letter, name in zip("dwr", ("depth", "width", "resolution"), strict=True)
            }
            cells["off rule"] = f"{member.solution.deviation:.3f}"
        shown.add_row(*(cells[heading] for heading in headings))
    console.print(shown)
    if solved:
        residual, deviation = (
            max(abs(float(value)) for value in table[name].dropna())
            for name in ("residual", "deviation")
        )
        metric = table["metric"].dropna().iloc[0]
        console.print(
            f"  residual: {metric} beside the target, {residual:.2%} at most; d, w, r: depth, "
            f"width, resolution over b0's; {deviation:.3f} at most from the rule in their logs"
        )
    for member in members:
        lost = _lost(member)
        if lost:
            console.print(
                f"  {member.name} has less {lost} than b0: nothing nearer to the rule costs its "
                "target, as channels and repeats are whole (a larger tolerance= may find one)"
            )


def _lost(member: Member) -> str:
    """What a member that is larger than B0 has less of, in words; rounding may ask for it."""
    found = member.solution
    if found is None or (member.phi or 0.0) <= 0:
        return ""
    return " and ".join(
        name for name in ("depth", "width", "resolution") if getattr(found, name) < 0.98
    )
