"""The sections of several studies side by side."""

import itertools
from collections.abc import Sequence
from dataclasses import asdict
from html import escape
from typing import Any

import numpy as np

from blocks.console import millions
from search.errors import StudyError
from search.pareto import hypervolume
from search.record.folder import StudyFolder, flat
from search.report.blocks import Block, Figure, Section, Table, Text
from search.report.charts import COLOURS, figure, line, log_axis, points
from search.report.facts import Facts, read_json
from search.report.groups import (
    Attained,
    Compared,
    Group,
    attained_fronts,
    attained_progress,
    grouped,
)
from search.space.budget import budget_macs, cost_budget
from search.study.front import shared_quality

_DASHES = ("solid", "dash", "dot")
_LEFT_OUT = ("study", "results_dir")


def read_studies(folders: Sequence[StudyFolder]) -> Compared:
    """Studies to compare: two or more, each with a candidate that was trained to the end.

    Raises:
        StudyError: there are fewer, or a study is not there or damaged.
    """
    found = [Facts.read(folder) for folder in folders]
    configs = [facts.config for facts in found]
    quality = shared_quality(configs)
    budgets = [cost_budget(config) for config in configs]
    exact = all(each.target is not None for each in budgets) and len(set(map(str, budgets))) == 1
    exact = exact and all(budget_macs(config) is not None for config in configs)
    hashes = {read_json(each.folder / "environment.json").get("dataset_sha256") for each in found}
    hashes.discard(None)  # made before it was recorded
    compared = Compared(grouped(found), quality, "params" if exact else "macs", len(hashes) < 2)
    for facts in found:
        if not compared.completed(facts):
            raise StudyError(
                f"{facts.folder.path} has no candidate that was trained to the end, by "
                f"{quality.words}; nothing of it can be compared"
            )
    return compared


def sections_compared(compared: Compared) -> list[Section]:
    """What several studies found, side by side."""
    made = [_fronts(compared), _progress(compared), _studies(compared), _settings(compared)]
    return [each for each in made if each is not None]


def answer_compared(compared: Compared) -> tuple[str, str]:
    """Which ends highest, and whether seeds alone could have made the difference."""
    if not compared.same_images:
        return (
            f"{len(compared.studies)} studies stand side by side.",
            "They are not of the same images, so their numbers do not compare.",
        )
    best = max(compared.studies, key=lambda facts: _best(compared, facts))
    words = compared.quality.words
    first = (
        f"Of {len(compared.studies)} studies, {best.folder.study} found the candidate with the "
        f"highest validation {words}, {_best(compared, best):.4f}."
    )
    many = [group for group in compared.groups if len(group.studies) > 1]
    if len(many) >= 2:
        ordered = sorted(many, key=lambda group: -_mean(compared, group))
        return first, _between(compared, ordered[0], ordered[1])
    if len(compared.groups) == 1:
        low, high = (
            end(_best(compared, facts) for facts in compared.studies) for end in (min, max)
        )
        return first, (
            f"They differ in their seed alone: that makes {100 * (high - low):.1f} points between "
            "the best candidates of the worst and of the best seed."
        )
    return first, (
        "Too few seeds of the same settings are here to say what chance does; run each with two or "
        "more seeds before you believe a difference."
    )


def _between(compared: Compared, one: Group, other: Group) -> str:
    from scipy.stats import ttest_ind

    values = [[100 * _best(compared, each) for each in group.studies] for group in (one, other)]
    difference = float(np.mean(values[0]) - np.mean(values[1]))
    said = (
        f"In the mean over seeds the best candidate of {one.title} is {difference:.2f} points "
        f"above that of {other.title}"
    )
    if any(np.ptp(each) == 0 for each in values):  # no spread, of which to make an interval
        return f"{said}."
    low, high = ttest_ind(*values, equal_var=False).confidence_interval(0.95)
    told = "" if low > 0 else ", which is not told apart"
    return f"{said}{told} (95% {low:+.2f} to {high:+.2f}, Welch's t)."


def _best(compared: Compared, facts: Facts) -> float:
    return max(compared.quality.of(each.metrics) for each in compared.completed(facts))


def _mean(compared: Compared, group: Group) -> float:
    return float(np.mean([_best(compared, facts) for facts in group.studies]))


def _fronts(compared: Compared) -> Section:
    label = "parameters" if compared.metric == "params" else "macs per image"
    words = compared.quality.words
    found = [attained_fronts(compared, group) for group in compared.groups]
    end = max(float(each.at[-1]) for each in found)
    traces = _lines(compared, found, end)
    stars: list[Any] = []
    for number, group in enumerate(compared.groups):
        stars += _chosen(compared, group, COLOURS[number % len(COLOURS)])
    traces += stars
    chart = figure(traces, label, f"validation {words} (%)", xaxis=log_axis(), showlegend=True)
    bands = any(len(group.studies) > 1 for group in compared.groups)
    said = (
        f"The best validation {words} at no more than a cost, of each study."
        + (
            " Of several seeds: the line is reached by half of them, the band goes from what all "
            "reach to what any reaches."
            if bands
            else ""
        )
        + (" Stars are the chosen B0s." if stars else "")
    )
    hint = " Point at a star for its network, click it to copy the spelling." if stars else ""
    drawn = Figure("fronts", chart, said, networks=bool(stars), height=480)
    return Section("front", "Fronts", [Text(f"{said}{hint}"), drawn])


def _progress(compared: Compared) -> Section:
    found = [attained_progress(compared, group) for group in compared.groups]
    traces = _lines(compared, found, None)
    words = compared.quality.words
    chart = figure(traces, "candidates", f"best validation {words} (%)", showlegend=True)
    said = "The best so far after so many candidates, with the same lines and bands."
    return Section("progress", "How the searches went", [Text(said), Figure("best", chart, said)])


def _lines(compared: Compared, found: Sequence[Attained], end: float | None) -> list[Any]:
    """A line and a band of each group; `end`: as far as all lines are drawn on."""
    bands, lines = [], []
    for number, (group, each) in enumerate(zip(compared.groups, found, strict=True)):
        colour = COLOURS[number % len(COLOURS)]
        at = list(each.at) if end is None else [*each.at, end]
        least, median, most = (
            [*y, *([] if end is None else [y[-1]])] for y in (each.least, each.median, each.most)
        )
        if len(group.studies) > 1:
            x = _steps(at)
            low, high = ([float(v) for v in y for _ in (0, 1)][:-1] for y in (least, most))
            bands.append(
                {
                    **line("", [*x, *x[::-1]], [*low, *high[::-1]], "rgba(0,0,0,0)"),
                    "fill": "toself", "fillcolor": f"{colour}38", "hoverinfo": "skip",
                    "showlegend": False,
                }
            )  # fmt: skip
        lines.append(
            line(escape(group.title), [float(x) for x in at], [float(y) for y in median], colour,
                 "hv", _DASHES[number % 3],
                 mode="lines" if len(set(at)) > 1 else "lines+markers")
        )  # fmt: skip
    return [*bands, *lines]


def _steps(at: Sequence[float]) -> list[float]:
    """a, b, b, c, c: where a line of steps goes up."""
    return [float(each) for each in [at[0], *(x for x in at[1:] for _ in (0, 1))]]


def _chosen(compared: Compared, group: Group, colour: str) -> list[dict[str, Any]]:
    known = []
    for facts in group.studies:
        trial = facts.baseline.get("trial")
        known += [(facts, record) for record in compared.completed(facts) if record.number == trial]
    if not known:
        return []
    stars = points(
        escape(f"B0, {group.name}"), [compared.cost(record) for _, record in known],
        [100 * compared.quality.of(record.metrics) for _, record in known],
        [f"<b>{escape(facts.folder.study)}</b>: trial {record.number}<br>"
         + escape(record.arch).replace("|", "|<br>") for facts, record in known],
        colour, "star", 14, [(record.arch, "") for _, record in known], showlegend=False,
    )  # fmt: skip
    return [stars]


def _studies(compared: Compared) -> Section:
    words = compared.quality.words
    every = [each for facts in compared.studies for each in compared.completed(facts)]
    most = max(compared.cost(each) for each in every)
    least = min(compared.quality.of(each.metrics) for each in every)
    rows, spellings = [], []
    for facts in compared.studies:
        records = compared.completed(facts)
        values = [compared.quality.of(each.metrics) for each in records]
        volume = hypervolume(values, [compared.cost(each) for each in records], least, most)
        share = volume / ((1 - least) * most) if least < 1 else 0.0
        rows.append(
            [
                facts.folder.study, str(facts.config.seed), str(len(records)),
                f"{max(values):.4f}", f"{share:.4f}", *_b0(compared, facts),
            ]
        )  # fmt: skip
        spellings.append(str(facts.baseline.get("arch", "")))
    headings = ["study", "seed", "trials", f"best val {words}", "hypervolume"]
    headings += [f"B0 test {words}", "B0 macs", "gain over published (95%)"]
    shown = [place for place in range(len(headings)) if any(row[place] for row in rows)]
    headings = [headings[place] for place in shown]
    rows = [[row[place] for place in shown] for row in rows]
    blocks: list[Block] = [Table(headings, rows, spellings if all(spellings) else ())]
    blocks.append(
        Text(
            "Hypervolume: the share of the box from the worst candidate of all to no cost and no "
            "error that a study's front covers."
        )
    )
    return Section("studies", "The studies", blocks)


def _b0(compared: Compared, facts: Facts) -> list[str]:
    content, quality = facts.baseline, compared.quality
    final, cost, gain = (content.get(name) or {} for name in ("final", "cost", "gain"))
    reached = final.get(quality.test)
    lead = ""
    if isinstance(gain, dict) and "interval_95" in gain and quality.test in gain:
        low, high = (100 * end for end in gain["interval_95"])
        lead = f"{100 * gain[quality.test]:+.1f} ({low:+.1f} to {high:+.1f})"
    return [
        "" if reached is None else f"{reached:.4f}",
        millions(cost["macs"]) if "macs" in cost else "", lead,
    ]  # fmt: skip


def _settings(compared: Compared) -> Section | None:
    flats = [flat(asdict(facts.config)) for facts in compared.studies]
    names = dict.fromkeys(itertools.chain.from_iterable(flats))
    rows = []
    for name in names:
        values = [each.get(name) for each in flats]
        if name not in _LEFT_OUT and any(value != values[0] for value in values):
            rows.append([name, *(_text(value) for value in values)])
    if not rows:
        return None
    headings = ["setting", *(facts.folder.study for facts in compared.studies)]
    return Section(
        "settings",
        "What differs in the settings",
        [Text("All other settings are the same."), Table(headings, rows)],
    )


def _text(value: Any) -> str:
    return "" if value is None else str(value)
