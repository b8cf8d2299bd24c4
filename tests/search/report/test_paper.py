"""`python -m search plot`: the figures of a report as files."""

import io
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from search.commands import plot
from search.record.folder import StudyFolder
from search.report.blocks import Figure
from search.report.charts import figure, line, log_axis, points
from search.report.paper import WIDTHS, Paper, print_figure
from tests.conftest import Refuse


def pixels(content: bytes) -> np.ndarray[tuple[int, int, int], np.dtype[np.uint8]]:
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))


@pytest.fixture(scope="module")
def front() -> Figure:
    traces = [
        points("others", [1e5, 2e6], [70.0, 71.0], ["", ""], "#8c8c8c"),
        line("front of <b>", [1e5, 1e6], [72.0, 75.0], "#d55e00", "hv"),
        points("B0", [1e6], [75.0], [""], "#e69f00", "star", 18),
    ]
    return Figure("front", figure(traces, "macs per image", "accuracy (%)", xaxis=log_axis()), "it")


def test_a_figure_is_as_wide_as_its_columns_and_the_same_again(front: Figure) -> None:
    for columns, inches in WIDTHS.items():
        made = print_figure(front, Paper(columns), ["svg"])
        width = ElementTree.fromstring(made["svg"]).attrib["width"]
        assert float(width.removesuffix("pt")) == pytest.approx(72 * inches)
    made |= print_figure(front, Paper(2), ["pdf"])
    assert made["pdf"].startswith(b"%PDF")
    assert print_figure(front, Paper(2), ["pdf", "svg"]) == made


@pytest.mark.parametrize("dark", [False, True])
def test_ink_stands_out_from_its_ground(front: Figure, dark: bool) -> None:
    made = pixels(print_figure(front, Paper(1, dark), ["png"])["png"])
    assert made.shape[1] == round(300 * WIDTHS[1])
    grey = made.mean(axis=2)
    ground = float(np.median(grey))
    assert (ground < 60) == dark
    # Words and marks: more than a hundredth of the page, in a print without colours too.
    assert (np.abs(grey - ground) > 90).mean() > 0.01


@pytest.mark.slow
def test_every_figure_that_the_study_has_data_for(
    chosen: StudyFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    plot.run(["study=made", f"results_dir={chosen.path.parent}", "format=[svg]", "columns=2"])
    home = chosen / "figures"
    captions = (home / "captions.txt").read_text().split("\n\n")
    captions = [each.partition(":")[0] for each in captions]
    assert set(captions) == {
        "front", "family-macs", "family-params", "region", "progress", "curves", "won",
        "importance", "errors", "hours",
    }  # fmt: skip
    assert {path.name for path in home.glob("*.svg")} == {f"{name}-wide.svg" for name in captions}
    assert str(home) in capsys.readouterr().out


@pytest.mark.parametrize(
    ("given", "says"),
    [("format=svg,gif", "format=svg,gif: expected some of png, svg, pdf"),
     ("columns=3", "columns=3: expected one of 1, 2"), ("dark=yes", "expected one of true, false")],
)  # fmt: skip
def test_another_format_is_refused(refuse: Refuse, given: str, says: str) -> None:
    assert says in refuse("search", "plot", given)
