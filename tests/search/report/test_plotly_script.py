"""What is shipped of plotly: of the installed package's version, and enough for every figure."""

import json
import re
from pathlib import Path
from typing import Final

from plotly.offline import get_plotlyjs

from search.record.folder import StudyFolder
from search.report.compare import compare_studies
from search.report.page import write_report
from search.report.paper import Paper
from search.report.plotly_script import FILE, plotly_script
from tests.search.report.test_compare import seeds
from tests.search.report.test_report import Page

__all__ = ["seeds"]

HEADER: Final = re.compile(
    r"^\* plotly\.js (?:\(cartesian - minified\) )?v(\d+)\.(\d+)\.\d+$", re.M
)
DRAWN: Final = frozenset(re.findall(r'moduleType:"trace",name:"(\w+)"', plotly_script()))


def test_it_is_of_the_installed_packages_major_version() -> None:
    [shipped], [installed] = (
        HEADER.findall(text[:200]) for text in (plotly_script(), get_plotlyjs())
    )
    assert shipped[0] == installed[0], "npm pack plotly.js-cartesian-dist-min, of this version"
    assert "(cartesian - minified)" in plotly_script()[:200]
    assert (FILE.parent / "LICENSE").read_text().startswith("MIT License")


def traces(page: Path) -> set[str]:
    scripts = Page(page.read_text("utf-8")).scripts
    figures = [json.loads(each) for each in scripts if each.startswith('{"data"')]
    return {trace["type"] for figure in figures for trace in figure["data"]}


def test_it_draws_what_a_report_has(chosen: StudyFolder) -> None:
    found = traces(write_report(chosen))
    assert found == {"scatter", "bar", "heatmap"}
    assert found <= DRAWN


def test_it_draws_what_a_comparison_has(seeds: list[StudyFolder], tmp_path: Path) -> None:
    found = traces(compare_studies(seeds, tmp_path / "compared", Paper(), [])[0])
    assert found == {"scatter"}
    assert found <= DRAWN
