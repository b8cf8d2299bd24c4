"""`python -m scaling emit`."""

from typing import Final

from rich.table import Table

from blocks.console import console, duration, fits, millions, network
from blocks.names import counted
from scaling.family.emit import Family, emit
from scaling.family.member import Member
from scaling.latency_targets import Timed
from scaling.settings import read_settings
from scaling.target import Solution

_SPARE: Final = ("off rule", "blocks", "residual", "flops_fvcore")
"""Columns that a narrow screen does without, one after the other."""


def run(arguments: list[str]) -> None:
    """Write a family, and show its members."""
    family = emit(read_settings(arguments), _Screen())
    for member in family.members:
        _missed(member)
    _table(family)
    if family.extrapolated:
        console.print(
            f"  extrapolated: {', '.join(family.extrapolated)}; the coefficients were fitted to "
            f"networks of up to {family.trained:.2f} times b0's macs"
        )
    console.print(
        f"{len(family.members)} members built, counted and confirmed by fvcore in "
        f"{duration(family.seconds)}: {family.path}"
    )


class _Screen:
    """Says what is measured, as it is."""

    def measuring(self, device: str, batch: int, threads: int, runtime: str) -> None:
        console.print(
            f"measuring on {device}, batch {batch}, {counted(threads, 'thread')}, {runtime}: "
            f"each network "
            "until its median is settled"
        )

    def measured(self, wanted_ms: float, timed: Timed) -> None:
        latency = timed.latency
        console.print(
            f"  {wanted_ms:g} ms: measured median {latency.median_ms:.3f} ms "
            f"({latency.median_ms / wanted_ms - 1:+.1%}; 95% interval {latency.low_ms:.3f} to "
            f"{latency.high_ms:.3f}, {latency.repeats} runs) at macs "
            f"{millions(timed.solution.cost.macs)}"
        )


def _missed(member: Member) -> None:
    target, residual = member.target, member.residual
    if target is None or residual is None or abs(residual) <= target.tolerance:
        return
    console.print(
        f"{member.name}: the nearest network has {getattr(member.cost, target.metric):,} "
        f"{target.metric}, {residual:+.1%} of {target.value:,.0f}; rounding allows none nearer"
    )


def _table(family: Family) -> None:
    members = family.members
    timed = any(member.latency is not None for member in members)
    solved = timed or any(member.target is not None for member in members)
    headings = ["name", "resolution", "blocks", "params", "macs"]
    headings += (
        ["macs / b0", "residual", "d", "w", "r", "off rule"]
        if solved
        else ["flops_fvcore", "macs / b0"]
    )
    headings += ["median ms"] if timed else []
    shown = _rows(family, headings)
    for spare in _SPARE:  # family.csv has all of them
        if fits(shown):
            break
        headings = [heading for heading in headings if heading != spare]
        shown = _rows(family, headings)
    console.print(shown)
    if solved:
        _explain(members)


def _rows(family: Family, headings: list[str]) -> Table:
    title = f"Family of {family.study} ({_by(family.members[0])})"
    shown = Table(title=title, title_justify="left")
    for heading in headings:
        shown.add_column(heading, justify="left" if heading == "name" else "right")
    for member in family.members:
        cells = _cells(member, family.base.macs)
        shown.add_row(*(cells[heading] for heading in headings))
    return shown


def _by(member: Member) -> str:
    """What made a family, for its title."""
    triple = member.coefficients
    if triple is not None:
        return f"α={triple.alpha:g}, β={triple.beta:g}, γ={triple.gamma:g}"
    return "published table" if member.phi is None else f"rule {member.rule}"


def _cells(member: Member, base_macs: int) -> dict[str, str]:
    cells = {
        "name": member.name,
        "resolution": str(member.arch.image),
        "blocks": str(sum(stage.repeats for stage in member.arch.stages)),
        "params": f"{member.cost.params:,}",
        "macs": millions(member.cost.macs),
        "flops_fvcore": millions(member.cost.flops_fvcore),
        "macs / b0": f"{member.cost.macs / base_macs:.2f}×",
        "median ms": "" if member.latency is None else f"{member.latency.median_ms:.3f}",
        **dict.fromkeys(("residual", "d", "w", "r", "off rule"), ""),
    }
    if member.solution is not None:
        realised = member.realised
        cells |= {
            "residual": f"{member.residual:+.2%}",
            "d": f"{realised.depth:.2f}",
            "w": f"{realised.width:.2f}",
            "r": f"{realised.resolution:.2f}",
            "off rule": f"{member.solution.deviation:.3f}",
        }
    return cells


def _explain(members: tuple[Member, ...]) -> None:
    """What the columns of solved members mean, and what rounding took from one."""
    solved = [member for member in members if member.solution is not None]
    residual = max(abs(member.residual or 0.0) for member in solved)
    deviation = max(member.solution.deviation for member in solved if member.solution is not None)
    target = solved[0].target
    metric = "latency_ms" if target is None else target.metric
    console.print(
        f"  residual: how far {metric} is from the target, {residual:.2%} at most; d, w, r: depth, "
        "width and resolution as multiples of b0's; off rule: distance from the rule in the logs "
        f"of d, w, r, {deviation:.3f} at most"
    )
    for member in solved:
        if member.solution is not None and member.solution.less:
            _say_less(member, member.solution.instead)


def _say_less(member: Member, instead: Solution | None) -> None:
    """Which axes of a member are below b0's, and the next best of which none is."""
    lost = [
        name
        for name in ("depth", "width", "resolution")
        if getattr(member.realised, name) < 1 - 1e-6
    ]
    said = f"  {member.name} has less {' and '.join(lost)} than b0: nothing else costs its target"
    if instead is not None:
        shorter = f"macs {millions(instead.cost.macs)}, params {millions(instead.cost.params)}"
        said += (
            f"; the nearest that has not is {instead.residual:+.1%} off: "
            f"{network(str(instead.arch), shorter)}"
        )
    console.print(said, markup=False)
