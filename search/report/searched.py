"""The sections about the search itself: front, progress, what won where, errors, failures."""

from collections.abc import Callable, Sequence
from html import escape
from typing import Any, Final

import numpy as np

from blocks.arch import ArchSpec, StageSpec, parse_arch
from blocks.console import millions
from blocks.errors import ArchError
from search.pareto import non_dominated
from search.record.trials import TrialRecord
from search.report.blocks import Block, Figure, Section, Table, Text, drawing
from search.report.charts import (
    DIVERGING,
    GREEN,
    GREY,
    ORANGE,
    SYMBOLS,
    VERMILION,
    figure,
    line,
    log_axis,
    points,
    upright,
)
from search.report.facts import Facts
from search.space.budget import budget_macs, cost_budget, front_metric

MOST_DRAWN: Final = 40
"""Networks of the front with a drawing of their own; a page has room for so many."""
MOST_ROWS: Final = 60
LEAST_FOR_TENTH: Final = 20
"""Candidates of which the best tenth is two or more."""


def searched(facts: Facts, drawings: dict[str, str]) -> list[Section]:
    """What the search tried and found; `drawings` gets those that a figure shows, by name."""
    made = [_front(facts, drawings), _progress(facts), _won(facts), _errors(facts)]
    return [each for each in made if each is not None]


def _front(facts: Facts, drawings: dict[str, str]) -> Section | None:
    records, quality = facts.completed, facts.quality
    if not records:
        return None
    budget, macs = cost_budget(facts.config), budget_macs(facts.config)
    metric = front_metric(facts.config)
    exact = metric != "macs"
    cost = np.array([getattr(record.cost, metric) for record in records], dtype=float)
    reached = np.array([100 * quality.of(record.metrics) for record in records])
    on_front = non_dominated(reached, cost)
    order = np.flatnonzero(on_front)[np.argsort(cost[on_front], kind="stable")]
    names = _draw(facts, [records[place] for place in order], drawings)
    texts = [_hover(facts, record) for record in records]
    rest = np.flatnonzero(~on_front)
    traces = [
        points(
            f"other candidates ({len(rest)})", cost[rest].tolist(), reached[rest].tolist(),
            [texts[place] for place in rest], GREY, size=6,
            networks=[(records[place].arch, "") for place in rest],
        ),
        line("", cost[order].tolist(), reached[order].tolist(), VERMILION, "hv",
             hoverinfo="skip", showlegend=False),
        points(
            f"front ({len(order)})", cost[order].tolist(), reached[order].tolist(),
            [texts[place] for place in order], VERMILION, "diamond",
            networks=[(records[place].arch, names[records[place].arch]) for place in order],
        ),
    ]  # fmt: skip
    traces += _references(facts, metric, drawings)
    traces += _b0(facts, metric, names)
    layout: dict[str, Any] = {"xaxis": log_axis()}
    if macs is not None and not exact:
        layout["shapes"] = [upright(macs)]
    label = "parameters" if exact else "macs per image"
    chart = figure(traces, label, f"validation {quality.words} (%)", **layout)
    said = (
        f"Every candidate that was trained to the end, {quality.words} against "
        f"{'parameters' if exact else 'macs'}. The line joins those that no other one beats in "
        f"both. "
        + (f"All cost {budget}. " if exact else "")
        + ("" if exact or macs is None else f"The dashed line is the budget, {budget}. ")
    ).strip()
    hint = "Point at a mark for its network, click it to copy the spelling."
    front = Figure("front", chart, said, networks=True, height=480)
    blocks: list[Block] = [Text(f"{said} {hint}"), front]
    stopped = sum(record.stopped for record in facts.trained)
    if stopped:
        blocks.append(
            Text(f"{stopped} more were stopped early, which does not compare with these.")
        )
    blocks.append(_front_table(facts, [records[place] for place in order]))
    return Section("front", "Pareto front", blocks)


def _draw(facts: Facts, records: Sequence[TrialRecord], drawings: dict[str, str]) -> dict[str, str]:
    """Spelling → the name of its drawing, of as many as there is room for."""
    named = dict.fromkeys((record.arch for record in records), "")
    for record in records:
        if len(drawings) >= MOST_DRAWN:
            break
        arch = _parsed(record.arch)
        if arch is not None:
            named[record.arch] = f"trial-{record.number}"
            name = f"trial {record.number}"
            drawings[named[record.arch]] = drawing(name, arch, facts.num_classes, brief=True)
    return named


def _hover(facts: Facts, record: TrialRecord, name: str | None = None) -> str:
    reached = facts.quality.of(record.metrics)
    return (
        f"<b>{escape(name or f'trial {record.number}')}</b><br>{facts.quality.words} {reached:.4f}"
        f"<br>{millions(record.cost.macs)} macs, {record.cost.params:,} parameters"
        f"<br>{_folded(record.arch)}"
    )


def _folded(spelling: str) -> str:
    """A spelling in lines that a hover box has room for."""
    return escape(spelling).replace("|", "|<br>")


def _references(facts: Facts, metric: str, drawings: dict[str, str]) -> list[dict[str, Any]]:
    traces = []
    known = [
        record
        for record in facts.records["published networks"]
        if record.arch in facts.references and facts.quality.val in record.metrics
    ]
    for number, record in enumerate(known):
        name = facts.references[record.arch]
        arch, key = _parsed(record.arch), ""
        if arch is not None:
            key = f"reference-{number}"
            drawings[key] = drawing(name, arch, facts.num_classes, brief=True)
        traces.append(
            points(
                escape(name), [getattr(record.cost, metric)],
                [100 * facts.quality.of(record.metrics)], [_hover(facts, record, name)],
                GREEN, SYMBOLS[1:][number % (len(SYMBOLS) - 1)], 10, [(record.arch, key)],
            )
        )  # fmt: skip
    return traces


def _b0(facts: Facts, metric: str, names: dict[str, str]) -> list[dict[str, Any]]:
    trial = facts.baseline.get("trial") if facts.chosen else getattr(facts.best, "number", None)
    record = next((each for each in facts.completed if each.number == trial), None)
    if record is None:
        return []
    label = f"chosen B0 (trial {trial})" if facts.chosen else f"best so far (trial {trial})"
    star = points(
        label, [getattr(record.cost, metric)], [100 * facts.quality.of(record.metrics)],
        [_hover(facts, record, label)], ORANGE, "star", 18,
        [(record.arch, names.get(record.arch, ""))],
    )  # fmt: skip
    star["marker"]["line"] = {"width": 1, "color": GREY}
    return [star]


def _front_table(facts: Facts, records: Sequence[TrialRecord]) -> Table:
    shown = records[:MOST_ROWS]
    return Table(
        ["trial", f"val {facts.quality.words}", "macs", "parameters", "network"],
        [
            [
                str(record.number), f"{facts.quality.of(record.metrics):.4f}",
                millions(record.cost.macs), f"{record.cost.params:,}", record.arch,
            ]
            for record in shown
        ],
        [record.arch for record in shown],
        f"The front as a table ({len(records)})",
    )  # fmt: skip


def _progress(facts: Facts) -> Section | None:
    records, quality = facts.completed, facts.quality
    if len(records) < 2:
        return None
    reached = [100 * quality.of(record.metrics) for record in records]
    numbers = [record.number for record in records]
    best: list[float] = []
    top: TrialRecord | None = None
    for record in records:  # by number: as they were proposed
        top = record if top is None or _better(facts, record, top) else top
        best.append(100 * quality.of(top.metrics))
    traces = [
        points("a candidate", numbers, reached, [_hover(facts, each) for each in records], GREY,
               size=6, networks=[(record.arch, "") for record in records]),
        line("best so far", numbers, best, VERMILION, "hv", hoverinfo="skip"),
    ]  # fmt: skip
    chart = figure(traces, "trial", f"validation {quality.words} (%)")
    said = (
        f"What each candidate reached, in the order in which they were proposed, and the best so "
        f"far by the objective, {facts.config.steered_by}."
    )
    return Section("progress", "How the search went", [Text(said), Figure("progress", chart, said)])


def _better(facts: Facts, record: TrialRecord, other: TrialRecord) -> bool:
    by = facts.quality.loss if facts.objective.aim == "loss" else ""
    if by and not all(f"val_{by}" in each.metrics for each in (record, other)):
        return facts.quality.of(record.metrics) > facts.quality.of(other.metrics)
    return facts.objective.better(record, other)


_CHOICES: Final[dict[str, Callable[[StageSpec], str]]] = {
    "kernel": lambda stage: str(stage.kernel),
    "expansion": lambda stage: f"{stage.expand_ratio:g}",
    "squeeze-excite": lambda stage: f"{stage.se_ratio:g}" if stage.se_ratio else "none",
    "repeats": lambda stage: str(stage.repeats),
}


def _won(facts: Facts) -> Section | None:
    found = [(record, _parsed(record.arch)) for record in facts.completed]
    known = [(record, arch) for record, arch in found if arch is not None]
    if len(known) < LEAST_FOR_TENTH:
        return None
    known.sort(key=lambda each: facts.quality.of(each[0].metrics), reverse=True)
    archs = [arch for _, arch in known]
    best = archs[: len(archs) // 10]
    stages = max(len(arch.stages) for arch in archs)
    labels, shares, texts = [], [], []
    for name, read in _CHOICES.items():
        values = sorted({read(stage) for arch in archs for stage in arch.stages}, key=_by_number)
        for value in values:
            rows = [_share(some, read, value, stages) for some in (best, archs)]
            labels.append(f"{name} {value}")
            shares.append(
                [
                    None if None in pair else 100 * (pair[0] - pair[1])
                    for pair in zip(*rows, strict=True)
                ]
            )
            texts.append(
                [
                    "" if None in pair else f"{pair[0]:.0%} of the best, {pair[1]:.0%} of all"
                    for pair in zip(*rows, strict=True)
                ]
            )
    trace = {
        "type": "heatmap", "z": shares, "text": texts, "colorscale": DIVERGING,
        "texttemplate": "%{z:+.0f}",
        "x": [str(number) for number in range(1, stages + 1)], "y": labels,
        "zmin": -100, "zmax": 100, "xgap": 2, "ygap": 2,
        "hovertemplate": "%{y}, stage %{x}: %{text}<extra></extra>",
        "colorbar": {"title": {"text": "points"}, "thickness": 12},
    }  # fmt: skip
    chart = figure(
        [trace], "stage", "", xaxis={"type": "category"},
        yaxis={"autorange": "reversed", "type": "category"},
    )  # fmt: skip
    said = (
        f"How much more often (orange, +) or less often (blue, −) the best {len(best)} of "
        f"{len(archs)} candidates have a choice at a stage than all have, in points. A search "
        "proposes more of what did well, and few networks differ by chance too."
    )
    height = max(320, 22 * len(labels) + 90)
    return Section("won", "What won where", [Text(said), Figure("won", chart, said, height=height)])


def _by_number(value: str) -> tuple[float, str]:
    return (float(value), "") if value != "none" else (-1.0, value)


def _share(
    archs: Sequence[ArchSpec], read: Callable[[StageSpec], str], value: str, stages: int
) -> list[Any]:
    """By stage the share of the networks that have it, None where none has the stage."""
    found = []
    for stage in range(stages):
        here = [read(arch.stages[stage]) for arch in archs if len(arch.stages) > stage]
        found.append(here.count(value) / len(here) if here else None)
    return found


def _errors(facts: Facts) -> Section | None:
    quality = facts.quality
    groups = {
        "candidates of the search": (facts.completed, VERMILION, "solid"),
        "random members of the space": (facts.records["random networks"], GREY, "dash"),
    }
    traces = []
    for name, (records, colour, dash) in groups.items():
        errors = sorted(
            100 * (1 - quality.of(record.metrics))
            for record in records
            if quality.val in record.metrics
        )
        if len(errors) > 1:
            shares = [100 * (place + 1) / len(errors) for place in range(len(errors))]
            traces.append(line(f"{name} ({len(errors)})", errors, shares, colour, "hv", dash))
    if len(facts.completed) < 2:
        return None
    chart = figure(traces, f"validation error: 100 − {quality.words} (%)", "networks below (%)")
    said = (
        "Of the networks that were trained, the share whose error is below a value. A line further "
        "left is better; a steep one says that networks differ little."
    )
    return Section("errors", "Errors in the space", [Text(said), Figure("errors", chart, said)])


def failures(facts: Facts) -> Section | None:
    """What could not be trained, and why."""
    if not facts.failures:
        return None
    shown = facts.failures[:MOST_ROWS]
    more = len(facts.failures) - len(shown)
    said = f"{len(facts.failures)} candidates could not be trained" + (
        f"; the first {len(shown)} of them:" if more else "."
    )
    rows = [[str(each.number), each.kind, each.error, each.arch] for each in shown]
    headings = ["trial", "kind", "error", "network"]
    table = Table(headings, rows, [each.arch for each in shown])
    return Section("failures", "Failures", [Text(said), table])


def _parsed(spelling: str) -> ArchSpec | None:
    """None of what this version cannot spell."""
    try:
        return parse_arch(spelling)
    except ArchError:
        return None
