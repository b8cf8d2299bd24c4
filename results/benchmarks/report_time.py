"""How long `python -m search report` takes, and how long a browser takes to open what it writes.

    python results/benchmarks/report_time.py
    python results/benchmarks/report_time.py --trials 1000 --page before/report.html

The studies are made up (`made_study.py`): what a report shows of them means nothing, but there is
as much of it. CPU seconds are those of the whole command, its start included; they are what an idle
machine takes, whatever else runs here. Bytes are those of the page.

The page is then opened in the Chromium of the system, without a window, 1280 by 900 pixels, anew
each time: the page as it is, the same page with the whole bundle of plotly's Python package, and
each `--page`, by turns, the order reversed from turn to turn. By the clock, from when the page is
asked for: the first text is there, the first figure is. CPU seconds are of the page's main thread
until then. Needs the extra `browser`; where that or Chromium is missing, this says so.
"""

import argparse
import importlib.util
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from harness import check, check_finite, cpu_seconds, make_parser, parse, print_foot, results_folder
from harness import spread as spread_of
from made_study import make_study

from search.report.plotly_script import plotly_script

ROOT = Path(__file__).resolve().parents[2]
LIMIT_MS: Final = 120_000
WATCH: Final = """
new MutationObserver((_, watch) => {
  if (!document.querySelector(".plotly-graph-div .main-svg .points path")) return;
  watch.disconnect();
  requestAnimationFrame(() => setTimeout(() => { window.firstFigure = performance.now(); }));
}).observe(document, { childList: true, subtree: true });
"""
"""Notes when the first figure has marks, and the frame with them is done."""
TEXT: Final = "performance.getEntriesByName('first-contentful-paint')[0].startTime"


def main() -> None:
    parser = make_parser(__doc__)
    parser.add_argument("--trials", type=int, nargs="+", default=[40, 1000])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--page", type=Path, nargs="+", default=[], help="to be opened beside it")
    arguments = parse(parser, trials=[40], repeats=1)
    with results_folder("", True) as results, chromium() as browser:
        for trials in arguments.trials:
            page = written(results, trials, arguments)
            if browser is not None:
                others = {str(path): path.read_text("utf-8") for path in arguments.page}
                open_by_turns(browser, page, others, arguments.repeats)
    print_foot(arguments, "plotly")


def written(results: Path, trials: int, arguments: argparse.Namespace) -> Path:
    """The report of a made-up study, after it was said how long that took."""
    folder = make_study(results, f"made{trials}", trials)
    used, clock = [], []
    for _ in range(arguments.repeats):
        before, started = cpu_seconds(), time.perf_counter()
        subprocess.run(
            [sys.executable, "-P", "-m", "search", "report", f"study=made{trials}",
             f"results_dir={results}"],
            check=True, stdout=subprocess.DEVNULL, cwd=results,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        used.append(cpu_seconds() - before)
        clock.append(time.perf_counter() - started)
    path = folder / "report.html"
    size = path.stat().st_size
    check(size < 3_000_000, f"{trials} trials: the page has {size:,} bytes")
    check_finite("CPU seconds", used, 0)
    print(
        f"{trials} trials: {spread_of(used)} s of CPU, {spread_of(clock)} s by the clock; "
        f"{size / 1e6:.2f} MB",
        flush=True,
    )
    return path


@contextmanager
def chromium() -> Iterator[Any]:
    """A browser, or nothing where there is none."""
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None or importlib.util.find_spec("playwright") is None:
        print("no Chromium, or no extra `browser`: how a page opens is passed over")
        yield None
        return
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


def open_by_turns(browser: Any, page: Path, others: Mapping[str, str], repeats: int) -> None:
    """Open the page and others so often, and say how long each took."""
    from plotly.offline import get_plotlyjs

    content = page.read_text("utf-8")
    check(content.count(plotly_script()) == 1, f"{page} does not have its bundle once")
    whole = content.replace(plotly_script(), get_plotlyjs())
    sides = {"the page": content, "with plotly's whole bundle": whole, **others}
    paths = {name: page.with_name(f"{number}.html") for number, name in enumerate(sides)}
    for name, path in paths.items():
        path.write_text(sides[name], "utf-8")
    took: dict[str, list[tuple[float, float, float]]] = {name: [] for name in sides}
    for turn in range(repeats):
        for name in list(sides)[:: -1 if turn % 2 else 1]:
            took[name].append(opened(browser, paths[name]))
    for name, found in took.items():
        text, figure, used = zip(*found, strict=True)
        check_finite(f"{name}: seconds", [text, figure, used], 0, LIMIT_MS / 1000)
        print(
            f"  {name}: text after {spread_of(text)} s, the first figure after "
            f"{spread_of(figure)} s, {spread_of(used)} s of CPU",
            flush=True,
        )


def opened(browser: Any, path: Path) -> tuple[float, float, float]:
    """Seconds until the first text, until the first figure, and of CPU until then."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.set_default_timeout(LIMIT_MS)
    said = context.new_cdp_session(page)
    said.send("Performance.enable", {"timeDomain": "threadTicks"})
    page.add_init_script(WATCH)
    page.goto(path.as_uri(), wait_until="commit")
    page.wait_for_function("window.firstFigure")
    metrics = said.send("Performance.getMetrics")["metrics"]
    used = next(each["value"] for each in metrics if each["name"] == "TaskDuration")
    found = page.evaluate(TEXT) / 1000, page.evaluate("window.firstFigure") / 1000, float(used)
    context.close()
    return found


if __name__ == "__main__":
    main()
