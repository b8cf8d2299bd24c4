"""The report of a study as one HTML file, which asks nothing of a network."""

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from blocks.arch import parse_arch
from blocks.drawing.layout import Drawn, lay_out
from blocks.drawing.svg import STYLE, to_svg
from blocks.errors import ArchError, one_line
from search.errors import StudyError
from search.record.folder import StudyFolder
from search.report.answer import answer
from search.report.blocks import Drawing, Figure, Section, drawing
from search.report.facts import Facts, readable
from search.report.plotly_script import plotly_script
from search.report.sections import sections_of

if TYPE_CHECKING:
    from search.report.groups import Compared

FILE: Final = "report.html"
"""In a study's folder."""
NEEDED: Final = ("plotly", "jinja2")
HOW: Final = 'pip install "compound-nas[report]"'


def missing() -> list[str]:
    """What a report needs, and is not installed."""
    return [name for name in NEEDED if importlib.util.find_spec(name) is None]


def write_report(folder: StudyFolder) -> Path:
    """Write report.html into a study's folder, from what is there: also of a search that goes on,
    or of which everything failed.

    Raises:
        StudyError: there is no study, a file is damaged, or plotly or jinja2 is not installed.
    """
    if lacking := missing():
        raise StudyError(f"a report needs {' and '.join(lacking)}, not installed here: {HOW}")
    with readable(folder):
        page = render(Facts.read(folder))
    return folder.write(FILE, page)


def report_at_end(folder: StudyFolder) -> str:
    """Write report.html after a search, where what it needs is there; what became of it, in a line.
    The search is done either way."""
    if lacking := missing():
        return f"no {FILE}: {' and '.join(lacking)} not installed ({HOW})"
    try:
        return f"report: {write_report(folder)}"
    except Exception as error:  # what was found is on disk, and a page must not make a run fail
        return f"no {FILE}: {type(error).__name__}: {one_line(error)}"


def render(facts: Facts) -> str:
    """The page; the same bytes for the same study."""
    drawings: dict[str, str] = {}
    return _fill(
        title=f"{facts.folder.study}: report of a search",
        where=f"Study {facts.folder.study} · {facts.config.dataset.name} at "
        f"{facts.config.proxy.size} px",
        answer=answer(facts),
        network=_network(facts),
        sections=sections_of(facts, drawings),
        drawings=drawings,
    )


def render_compared(compared: "Compared", sections: Sequence[Section], title: str) -> str:
    """The page of several studies; the same bytes for the same studies."""
    from search.report.several import answer_compared  # torch

    return _fill(
        title=title,
        where=" · ".join(facts.folder.study for facts in compared.studies),
        answer=answer_compared(compared),
        network=_networks(compared),
        sections=sections,
        drawings={},
    )


def _fill(*, drawings: dict[str, str], **shown: Any) -> str:
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=PackageLoader("search.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["plot"] = lambda block: Markup(_plot(block))
    return environment.get_template("report.html.j2").render(
        drawings={name: Markup(svg) for name, svg in drawings.items()},
        drawing_style=Markup(STYLE),
        plotly=Markup(plotly_script()),
        **shown,
    )


def _network(facts: Facts) -> Drawing | None:
    """B0, or the best so far, drawn."""
    from markupsafe import Markup

    if facts.chosen:
        name, spelling = "B0", str(facts.baseline.get("arch", ""))
    elif facts.best is not None:
        name, spelling = f"trial {facts.best.number}, the best so far", facts.best.arch
    else:
        return None
    try:
        arch = parse_arch(spelling)
    except ArchError:  # of a newer version
        return None
    return Drawing(Markup(drawing(name, arch, facts.num_classes)), spelling)


def _networks(compared: "Compared") -> Drawing | None:
    """The two B0s of two studies, and what differs between them."""
    from markupsafe import Markup

    known = [facts for facts in compared.studies if facts.chosen]
    if len(known) != 2 or len(compared.studies) != 2:
        return None
    try:
        drawn = [
            Drawn(f"B0 of {facts.folder.study}", parse_arch(str(facts.baseline["arch"])),
                  facts.num_classes)
            for facts in known
        ]  # fmt: skip
    except (ArchError, KeyError):
        return None
    return Drawing(Markup(to_svg(lay_out(drawn), alone=False)))


def _plot(block: Figure) -> str:
    """Where a figure is drawn, and what report.js draws there."""
    import plotly.io

    made = plotly.io.to_json(block.figure, validate=False, engine="json").replace("<", "\\u003c")
    return (
        f'<div id="plot-{block.name}" class="plotly-graph-div"></div>'
        f'<script type="application/json">{made}</script>'
    )
