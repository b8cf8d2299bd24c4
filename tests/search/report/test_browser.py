"""A report as a person sees it: opened in a browser, wide and narrow, light and dark.

The extra `browser` (Playwright, and axe-core with it) drives the Chromium of the system.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from search.record.folder import StudyFolder
from search.report.page import write_report

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


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (400, "dark")])
def test_nothing_is_amiss(browser: Any, chosen: StudyFolder, width: int, scheme: str) -> None:
    from axe_playwright_python.sync_playwright import Axe

    opened = Opened(browser, write_report(chosen), width, scheme)
    page = opened.page
    # Nothing below the first screen is drawn before it is seen.
    drawn = page.locator(".plotly-graph-div[data-drawn]").count()
    assert 8 <= opened.draw_all() > drawn
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
    opened.context.close()


def test_pointing_shows_a_network_and_a_click_copies_it(browser: Any, chosen: StudyFolder) -> None:
    opened = Opened(browser, write_report(chosen), 1280, "light")
    page = opened.page
    opened.context.grant_permissions(["clipboard-read", "clipboard-write"])
    figure = page.locator("#plot-front")
    figure.scroll_into_view_if_needed()
    figure.locator(".main-svg").first.wait_for()
    spelling, x, y = page.evaluate(
        """() => {
          const chart = document.getElementById("plot-front");
          const trace = chart.data.findIndex((each) => each.name.startsWith("front"));
          const mark = chart.querySelectorAll(".scatterlayer .trace .points")[trace]
            .querySelector("path").getBoundingClientRect();
          return [chart.data[trace].customdata[0][0], mark.x + mark.width / 2,
                  mark.y + mark.height / 2];
        }"""
    )
    page.mouse.move(x - 40, y - 40)
    page.mouse.move(x, y, steps=4)
    figure.locator(".hoverlayer .hovertext").first.wait_for()
    assert page.locator(".shown svg").first.is_visible()
    page.mouse.down()
    page.mouse.up()
    page.locator("#said.now").wait_for()
    assert page.locator("#said").inner_text() == "spelling copied"
    assert page.evaluate("navigator.clipboard.readText()") == spelling
    page.locator("button[data-copy]").first.click()
    assert page.evaluate("navigator.clipboard.readText()") in {
        record.arch for record in chosen.completed()
    }
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    charts = page.locator(".plotly-graph-div")
    for number in range(charts.count()):
        assert charts.nth(number).locator(".main-svg").count() > 0
    assert opened.errors() == []
    opened.context.close()
