"""A report as a person sees it: opened in a browser, wide and narrow, light and dark.

The extra `browser` (Playwright, and axe-core with it) drives the Chromium of the system.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from search.record.folder import StudyFolder
from search.report.compare import compare_studies
from search.report.page import write_report
from search.report.paper import Paper

pytestmark = pytest.mark.slow

CHROMIUM: Final = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
SERIOUS: Final = ("serious", "critical")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine")
    api = pytest.importorskip("playwright.sync_api", reason="the extra `browser` is not installed")
    with api.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


class Opened:
    """A page, what it said on the console, and what it asked a network for."""

    def __init__(self, browser: Any, path: Path, width: int, scheme: str) -> None:
        self.context = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme
        )
        self.page = self.context.new_page()
        self.page.set_default_timeout(90_000)  # other work may leave it little of the processor
        self.said: list[str] = []
        self.asked: list[str] = []
        self.page.on("console", lambda each: self.said.append(f"{each.type}: {each.text}"))
        self.page.on("pageerror", lambda error: self.said.append(f"error: {error}"))
        self.page.on("request", lambda each: self.asked.append(each.url))
        self.page.goto(path.as_uri())

    def errors(self) -> list[str]:
        return [each for each in self.said if each.startswith(("error", "warning"))]

    def outside(self) -> list[str]:
        return [url for url in self.asked if not url.startswith(("file:", "data:", "blob:"))]

    def draw_all(self) -> int:
        """Scroll to every figure, as a reader does; how many there are."""
        charts = self.page.locator(".plotly-graph-div")
        for number in range(charts.count()):
            charts.nth(number).scroll_into_view_if_needed()
            charts.nth(number).locator(".main-svg").first.wait_for()
        self.page.evaluate("scrollTo(0, 0)")
        return int(charts.count())

    def click_on_a_mark(self, figure: str, trace: str) -> str:
        """Point at the first mark of a figure's trace whose name begins so, and click it; the
        spelling that it stands for."""
        page = self.page
        self.context.grant_permissions(["clipboard-read", "clipboard-write"])
        shown = page.locator(f"#plot-{figure}")
        shown.scroll_into_view_if_needed()
        shown.locator(".main-svg").first.wait_for()
        spelling, x, y = page.evaluate(
            """([figure, begins]) => {
              const chart = document.getElementById("plot-" + figure);
              const trace = chart.data.findIndex((each) => each.name.startsWith(begins));
              const mark = chart.querySelectorAll(".scatterlayer .trace")[trace]
                .querySelector(".points path").getBoundingClientRect();
              return [chart.data[trace].customdata[0][0], mark.x + mark.width / 2,
                      mark.y + mark.height / 2];
            }""",
            [figure, trace],
        )
        page.mouse.move(x - 40, y - 40)
        page.mouse.move(x, y, steps=4)
        shown.locator(".hoverlayer .hovertext").first.wait_for()
        page.mouse.down()
        page.mouse.up()
        page.locator("#said.now").wait_for()
        assert page.locator("#said").inner_text() == "spelling copied"
        return str(spelling)

    def copied(self) -> str:
        return str(self.page.evaluate("navigator.clipboard.readText()"))


@pytest.fixture
def compared(chosen: StudyFolder, tmp_path: Path) -> Path:
    """Two studies side by side, with a B0 each."""
    other = StudyFolder(str(tmp_path), "other")
    shutil.copytree(chosen.path, other.path)
    config = yaml.safe_load((other / "config.yaml").read_text())
    other.write("config.yaml", yaml.safe_dump({**config, "study": "other", "sampler": "random"}))
    least = min(other.completed(), key=lambda record: record.cost.macs)
    content = yaml.safe_load((other / "b0.yaml").read_text())
    content |= {"arch": least.arch, "trial": least.number}
    other.write("b0.yaml", yaml.safe_dump(content, width=10_000))
    return compare_studies([chosen, other], tmp_path / "compared", Paper(), [])[0]


def check(opened: Opened, width: int, figures: int) -> None:
    """Draw all, at least so many; nobody is told of an error, and nothing is asked for."""
    from axe_playwright_python.sync_playwright import Axe

    page = opened.page
    assert opened.draw_all() >= figures
    assert opened.errors() == []
    assert opened.outside() == []
    # What is wider than the page scrolls within it.
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    for theme in ("light", "dark"):
        page.emulate_media(color_scheme=theme)
        response = Axe().run(page).response
        assert len(response["passes"]) > 10
        told = [
            f"{each['id']}: {each['nodes'][0]['html'][:200]}"
            for each in response["violations"]
            if each["impact"] in SERIOUS
        ]
        assert told == [], theme


WIDTHS: Final = pytest.mark.parametrize(
    ("width", "scheme"), [(1280, "light"), (400, "dark")], ids=["wide", "narrow"]
)


@WIDTHS
def test_nothing_is_amiss(browser: Any, chosen: StudyFolder, width: int, scheme: str) -> None:
    opened = Opened(browser, write_report(chosen), width, scheme)
    # Nothing below the first screen is drawn before it is seen.
    charts = opened.page.locator(".plotly-graph-div")
    assert opened.page.locator(".plotly-graph-div[data-drawn]").count() < charts.count()
    check(opened, width, 8)
    opened.context.close()


@WIDTHS
def test_nothing_is_amiss_side_by_side(
    browser: Any, compared: Path, width: int, scheme: str
) -> None:
    opened = Opened(browser, compared, width, scheme)
    check(opened, width, 2)
    assert "B0 of other" in opened.page.locator(".drawing").inner_text()
    opened.context.close()


def test_pointing_shows_a_network_and_a_click_copies_it(browser: Any, chosen: StudyFolder) -> None:
    opened = Opened(browser, write_report(chosen), 1280, "light")
    page = opened.page
    spelling = opened.click_on_a_mark("front", "front")
    assert opened.copied() == spelling
    assert page.locator(".shown svg").first.is_visible()
    page.locator("button[data-copy]").first.click()
    assert opened.copied() in {record.arch for record in chosen.completed()}
    opened.context.close()


def test_a_click_copies_a_b0_side_by_side(browser: Any, compared: Path) -> None:
    opened = Opened(browser, compared, 1280, "light")
    spelling = opened.click_on_a_mark("fronts", "B0")
    assert opened.copied() == spelling
    opened.page.locator("button[data-copy]").nth(1).click()
    assert opened.copied() != spelling
    assert opened.errors() == []
    opened.context.close()


def test_all_figures_are_on_paper(browser: Any, chosen: StudyFolder) -> None:
    opened = Opened(browser, write_report(chosen), 1280, "light")
    charts = opened.page.locator(".plotly-graph-div")
    printed = opened.page.pdf()
    assert printed.startswith(b"%PDF")
    for number in range(charts.count()):
        assert charts.nth(number).locator(".main-svg").count() > 0
    assert opened.errors() == []
    opened.context.close()
