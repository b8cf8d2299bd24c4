"""The sections about what grows from B0: final round, family, scaling, trained members."""

from collections.abc import Mapping
from html import escape
from typing import Any, Final

import pandas as pd

from blocks.console import duration, millions
from search.report.blocks import Block, Figure, Picture, Room, Section, Table, Text
from search.report.charts import (
    COLOURS,
    GREEN,
    GREY,
    ORANGE,
    SYMBOLS,
    VERMILION,
    figure,
    line,
    log_axis,
    points,
)
from search.report.facts import Facts, read_json, read_table, read_yaml
from search.study.objective import Objective

_COSTS: Final = {"macs": "macs", "params": "parameters", "median_ms": "ms an image"}


def grown(facts: Facts, room: Room) -> list[Section]:
    """What came after the search, of the steps that were taken."""
    made = [
        _final_round(facts), _family(facts), _scaling(facts), _fidelity(facts), _curves(facts),
        _members(facts, room), _ensembles(facts), _explained(facts, room),
    ]  # fmt: skip
    return [each for each in made if each is not None]


def _final_round(facts: Facts) -> Section | None:
    finalists = facts.baseline.get("finalists") or []
    if not finalists:
        return None
    quality = facts.quality
    compared = Objective.of(facts.config).compared
    if compared not in finalists[0]:  # an earlier version has left the file
        compared = f"val_{quality.loss}"
    words = compared.replace("_", " ")
    rows = [
        [
            str(each["name"]), str(each["trainings"]), _number(each.get(quality.val), ".4f"),
            _number(each.get(compared), ".4f"), _number(each.get("p_best"), ".2f"),
        ]
        for each in finalists
    ]  # fmt: skip
    said = (
        "The best candidates and the best published networks, trained for longer. P(best): the "
        f"chance to be the best by {words}, of pairs of validation images and the spread of seeds."
    )
    table = Table(["network", "trainings", f"val {quality.words}", words, "P(best)"], rows,
                  [str(each.get("arch", "")) for each in finalists])  # fmt: skip
    return Section("final", "How B0 was chosen", [Text(said), table])


def _family(facts: Facts) -> Section | None:
    table = read_table(facts.folder / "family" / "family.csv")
    if not len(table) or not {"name", "macs", "params", "resolution", "arch"} <= set(table):
        return None
    latency = "median_ms" in table and bool(table["median_ms"].notna().any())
    rows = [
        [
            str(row["name"]), str(row["resolution"]), millions(int(row["macs"])),
            f"{int(row['params']):,}", *([_number(row["median_ms"], ".4g")] if latency else []),
            "yes" if row.get("extrapolated") is True else "",
        ]
        for row in table.to_dict("records")
    ]  # fmt: skip
    headings = ["member", "pixels", "macs", "parameters"]
    headings += [*(["median ms"] if latency else []), "extrapolated"]
    blocks: list[Block] = [Table(headings, rows, [str(each) for each in table["arch"]])]
    if any(row[-1] for row in rows):
        blocks.append(
            Text("Extrapolated: it costs more than any network that the scaling was fitted to.")
        )
    blocks += _against_costs(facts)
    return Section("family", "The family", blocks)


def _against_costs(facts: Facts) -> list[Block]:
    """What trained members reach, against each cost that is known of them."""
    promise = read_table(facts.folder / "trained" / "promise.csv")
    rows: list[dict[str, Any]] = []
    measure, words = facts.measure
    for name, content in facts.trained_members.items():
        test = ((content.get("metrics") or {}).get("test") or {}).get(measure)
        if not isinstance(test, dict):
            continue
        row = {"name": name, **test, **(content.get("cost") or {})}
        if {"name", "latency_ms"} <= set(promise):  # family.csv's are of a batch, by other settings
            found = promise.loc[promise["name"] == name, "latency_ms"].dropna()
            row |= {"median_ms": float(found.iloc[0])} if len(found) else {}
        rows.append(row)
    blocks: list[Block] = []
    for cost, label in _COSTS.items():
        some = sorted((row for row in rows if cost in row), key=lambda row: float(row[cost]))
        if len(some) < 2:
            continue
        value = [100 * row["value"] for row in some]
        errors = {
            "type": "data", "symmetric": False, "thickness": 1.5,
            "array": [100 * row["high"] - at for row, at in zip(some, value, strict=True)],
            "arrayminus": [at - 100 * row["low"] for row, at in zip(some, value, strict=True)],
        }  # fmt: skip
        trace = points(
            "trained", [row[cost] for row in some], value,
            [f"{escape(row['name'])}: {at:.2f}%" for row, at in zip(some, value, strict=True)],
            VERMILION, size=9, error_y=errors, mode="markers+lines",
        )  # fmt: skip
        chart = figure([trace], label, f"test {words} (%)", xaxis=log_axis())
        said = f"Test {words} of the trained networks against {label}, with 95% intervals."
        blocks += [Text(said), Figure(f"family-{cost.replace('_', '-')}", chart, said, height=340)]
    return blocks


def _scaling(facts: Facts) -> Section | None:
    fitted = read_yaml(facts.folder / "coefficients.yaml")
    if not {"alpha", "beta", "gamma"} <= set(fitted):
        return None
    report = read_json(facts.folder / "scaling" / "fit.json")
    intervals = fitted.get("intervals") or {}
    triple = [float(fitted[name]) for name in ("alpha", "beta", "gamma")]
    rows = []
    for letter, name, what in (
        ("α", "alpha", "depth"), ("β", "beta", "width"), ("γ", "gamma", "resolution"),
    ):  # fmt: skip
        interval = intervals.get(name)
        between = f"{interval[0]:.2f} to {interval[1]:.2f}" if interval else ""
        rows.append([letter, what, f"{float(fitted[name]):.4g}", between])
    blocks: list[Block] = [Table(["", "of", "fitted", "95%"], rows)]
    region = (report.get("region") or {}).get("triples") or []
    if region:
        same = report.get("cost") == 2 and report.get("metric") == "macs"
        blocks += _region(triple, region, same)
    versus = report.get("versus") or {}
    told = [_versus(name, each) for name, each in versus.items() if isinstance(each, dict)]
    told = [row for row in told if row]
    if told:
        words = facts.quality.words
        blocks.append(Text("The fitted triple against other ways to grow, at the same cost:"))
        blocks.append(Table(["against", f"points of {words} (95%)", "P(better)", ""], told))
        seems = _versus("", report.get("seems_best") or {})
        if seems and seems[3]:
            blocks.append(
                Text(
                    "It keeps near the paper's triple: the way to grow that seems best has "
                    f"{seems[1]} points over that, which is not told apart."
                )
            )
    return Section("scaling", "How it grows: α, β, γ", blocks)


def _region(triple: list[float], region: list[list[float]], same: bool) -> list[Block]:
    """`same`: the triple is of twice the macs, as EfficientNet's is."""
    hover = "α %{x:.3g}, β %{customdata:.3g}, γ %{y:.3g}<extra></extra>"
    cloud = points(
        "not told from the best (95%)", [each[0] for each in region],
        [each[2] for each in region], [], GREY, size=7,
        customdata=[each[1] for each in region], hovertemplate=hover,
    )  # fmt: skip
    star = points("fitted", [triple[0]], [triple[2]], [], ORANGE, "star", 18,
                  customdata=[triple[1]], hovertemplate=hover)  # fmt: skip
    star["marker"]["line"] = {"width": 1, "color": GREY}
    paper = points("EfficientNet's", [1.2], [1.15], [], GREEN, "diamond", 10,
                   customdata=[1.1], hovertemplate=hover)  # fmt: skip
    shown = [cloud, *([paper] if same else []), star]
    chart = figure(shown, "α: depth", "γ: resolution; width takes what is left")
    said = (
        f"Depth and resolution of {len(region)} of the triples that the fit cannot tell from the "
        "best, at 95%. A wide cloud means that the networks that were trained leave it open."
    )
    return [Text(said), Figure("region", chart, said)]


def _versus(name: str, each: Mapping[str, Any]) -> list[str]:
    try:
        low, high = (100 * float(end) for end in each["interval"])
        return [
            name,
            f"{100 * float(each['difference']):+.2f} ({low:+.2f} to {high:+.2f})",
            _number(each.get("probability"), ".2f"),
            "not told apart" if low <= 0 <= high else "",
        ]
    except (KeyError, TypeError, ValueError):
        return []


def _fidelity(facts: Facts) -> Section | None:
    table = read_table(facts.folder / "fidelity.csv")
    report = read_json(facts.folder / "fidelity.json")
    if not {"proxy", "long", "arch"} <= set(table) or not len(table):
        return None
    words = facts.quality.words
    trace = points(
        "a network", (100 * table["proxy"]).tolist(), (100 * table["long"]).tolist(),
        [escape(str(each)).replace("|", "|<br>") for each in table["arch"]], VERMILION,
        networks=[(str(each), "") for each in table["arch"]],
    )  # fmt: skip
    epochs = report.get("proxy_epochs"), report.get("long_epochs")
    after = [f" after {each} epochs" if each else "" for each in epochs]
    chart = figure([trace], f"{words}{after[0]} (%)", f"{words}{after[1]} (%)")
    verdict = str(report.get("verdict") or "")
    said = f"{len(table)} random networks, by the proxy and by the long schedule."
    return Section(
        "fidelity",
        "Can the proxy be trusted?",
        [Text(f"{said} {verdict}".strip()), Figure("fidelity", chart, said, networks=True)],
    )


def _curves(facts: Facts) -> Section | None:
    traces = []
    measure, words = facts.measure
    for number, name in enumerate(facts.trained_members):
        table = read_table(facts.folder / "trained" / name / "log.csv")
        column = f"val_{measure}"
        if not {"epoch", column} <= set(table):
            continue
        known = table.dropna(subset=[column])
        traces.append(
            line(
                escape(name), known["epoch"].tolist(), (100 * known[column]).tolist(),
                COLOURS[number % len(COLOURS)], dash=("solid", "dash", "dot")[number % 3],
                mode="lines+markers", marker={"symbol": SYMBOLS[number % len(SYMBOLS)], "size": 6},
            )
        )  # fmt: skip
    if not traces:
        return None
    chart = figure(traces, "epoch", f"validation {words} (%)", showlegend=True)
    said = f"Validation {words} by epoch, of the networks that `scaling train` trained."
    return Section("curves", "Learning curves", [Text(said), Figure("curves", chart, said)])


def _members(facts: Facts, room: Room) -> Section | None:
    if not facts.trained_members:
        return None
    measure, words = facts.measure
    rows, pictures, pairs = [], [], []
    for name, content in facts.trained_members.items():
        test = ((content.get("metrics") or {}).get("test") or {}).get(measure) or {}
        trained, cost = content.get("trained") or {}, content.get("cost") or {}
        low, high = (_number(test.get(end), ".4f") for end in ("low", "high"))
        rows.append(
            [
                name, f"{_number(test.get('value'), '.4f')} ({low} to {high})",
                millions(int(cost.get("macs", 0))), str(trained.get("epochs", "")),
                duration(float(trained["seconds"])) if "seconds" in trained else "",
            ]
        )  # fmt: skip
        home = facts.folder / "trained" / name
        for file, says in (
            ("confusion.png", f"{name}: what the images of each class are taken for"),
            ("worst.png", f"{name}: the test images that it is most wrong about"),
        ):
            if (home / file).is_file():
                pictures.append(room.picture(home / file, says, f"trained/{name}/{file}"))
        pairs += _confused(facts, name)
    blocks: list[Block] = [
        Table(["network", f"test {words} (95%)", "macs", "epochs", "time"], rows)
    ]
    if pairs:
        blocks.append(
            Table(["network", "classes", "times"], pairs, folded="Classes taken for one another")
        )
    return Section("members", "Trained networks", [*blocks, *pictures])


def _confused(facts: Facts, name: str) -> list[list[str]]:
    table = read_table(facts.folder / "trained" / name / "confused.csv")
    if not {"class", "other", "times"} <= set(table):
        return []
    return [
        [name, f"{row['class']} and {row['other']}", str(row["times"])]
        for row in table.head(5).to_dict("records")
    ]


def _ensembles(facts: Facts) -> Section | None:
    rows = []
    for path in sorted((facts.folder.path / "ensemble").glob("*/ensemble.csv")):
        table = read_table(path)
        measure = next((each for each in ("map", "accuracy") if each in table), None)
        if measure is None or not {"name", "macs"} <= set(table):
            continue
        for row in table.to_dict("records"):
            lead = ""
            if pd.notna(row.get("lead_value")):
                low, high = (100 * row[f"lead_{end}"] for end in ("low", "high"))
                lead = f"{100 * row['lead_value']:+.2f} ({low:+.2f} to {high:+.2f})"
            rows.append(
                [path.parent.name, str(row["name"]), millions(int(row["macs"])),
                 _number(row[measure], ".4f"), lead]
            )  # fmt: skip
    if not rows:
        return None
    headings = ["folder", "asked together", "macs", "reached", "points over its rival (95%)"]
    return Section("ensembles", "Ensembles", [Table(headings, rows)])


def _explained(facts: Facts, room: Room) -> Section | None:
    pictures: list[Picture] = []
    for root in (facts.folder.path, *sorted((facts.folder.path / "trained").glob("*"))):
        for path in sorted((root / "explanation").glob("*/overlays.png")):
            shown = str(path.relative_to(facts.folder.path))
            says = f"{path.parent.name}: which pixels spoke for the answer"
            pictures.append(room.picture(path, says, shown))
    if not pictures:
        return None
    said = (
        "Maps of what the networks looked at; faithfulness.csv beside each says how far to trust."
    )
    return Section("explained", "Explanations", [Text(said), *pictures])


def _number(value: Any, form: str) -> str:
    return "" if value is None or pd.isna(value) else format(float(value), form)
