"""The sections about how the numbers came to be: time, machine, commands, settings."""

import re
from typing import Any, Final

from blocks.console import duration
from search.report.blocks import Block, Figure, Listing, Section, Table, Text
from search.report.charts import bars, figure
from search.report.facts import Facts, read_json

_MACHINE: Final = ("processor", "cores", "platform", "cuda", "operators")


def hours(facts: Facts) -> Section | None:
    """Where the time went."""
    spent = {
        what: sum(sum(record.seconds.values()) for record in records)
        for what, records in facts.records.items()
    }
    spent["scaling train"] = sum(
        float((content.get("trained") or {}).get("seconds", 0))
        for content in facts.trained_members.values()
    )
    shown = {what: seconds for what, seconds in spent.items() if seconds > 0}
    if not shown:
        return None
    whole = sum(shown.values())
    trace = bars(
        list(shown), [seconds / 60 for seconds in shown.values()],
        [f"{duration(seconds)}, {seconds / whole:.0%}" for seconds in shown.values()],
    )  # fmt: skip
    chart = figure([trace], "minutes", "", yaxis={"autorange": "reversed", "type": "category"})
    said = (
        f"{duration(whole)} of trainings, added up over processes; as several may run at once, the "
        "clock may have shown less."
    )
    height = 34 * len(shown) + 90
    return Section(
        "hours", "Where the time went", [Text(said), Figure("hours", chart, said, height=height)]
    )


def made_by(facts: Facts) -> Section:
    """The machine, the versions, the exact commands, the settings."""
    environment = read_json(facts.folder / "environment.json")
    blocks: list[Block] = []
    reports = ("scaling/fit.json", "fidelity.json", "scaling/compare.json")
    told = [environment, *(read_json(facts.folder / name) for name in reports)]
    commands = [each for each in dict.fromkeys(map(_command, told)) if each]
    if commands:
        blocks += [Text("The commands:"), Listing("\n".join(commands))]
    rows = [[name, str(environment[name])] for name in _MACHINE if environment.get(name)]
    rows += [[name, str(value)] for name, value in (environment.get("versions") or {}).items()]
    rows.append(["seed", str(facts.config.seed)])
    if environment.get("dataset_sha256"):
        rows.append(["images, SHA-256", str(environment["dataset_sha256"])])
    blocks.append(Table(["", ""], rows))
    config = (facts.folder / "config.yaml").read_text(encoding="utf-8")
    settings = [line.partition(": ") for line in config.splitlines() if line.strip()]
    blocks.append(
        Table(["setting", "value"], [[_indented(name), value] for name, _, value in settings],
              folded="All settings (config.yaml)")
    )  # fmt: skip
    return Section("made", "How it was made", blocks)


def _indented(name: str) -> str:
    """YAML's indent, which a page would drop."""
    text = name.lstrip(" ")
    return "\u00a0" * (len(name) - len(text)) + text


def _command(report: dict[str, Any]) -> str:
    """As it was typed: `/…/search/__main__.py run` is `python -m search run`."""
    command = str(report.get("command") or "")
    return re.sub(r"^\S*?(\w+)/__main__\.py", r"python -m \1", command)
