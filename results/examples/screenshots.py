"""Pictures of a report as a browser shows it: wide and narrow, light and dark.

    python results/examples/screenshots.py results/main/report.html results/examples

Needs the extra `browser` and Chromium. Writes report-1280-light.webp and so on.
"""

import argparse
import io
import shutil
from pathlib import Path
from typing import Final

from PIL import Image
from playwright.sync_api import sync_playwright

SIZES: Final = ((1280, 1700), (400, 1400))
SCHEMES: Final = ("light", "dark")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("report", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--browser", default=shutil.which("chromium"))
    parser.add_argument("--skip", type=int, default=0, help="pixels to scroll down first")
    given = parser.parse_args()
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=given.browser, args=["--no-sandbox"])
        for width, height in SIZES:
            for scheme in SCHEMES:
                page = browser.new_page(
                    viewport={"width": width, "height": height}, color_scheme=scheme
                )
                page.goto(given.report.resolve().as_uri())
                page.evaluate(f"scrollTo(0, {given.skip})")
                page.locator(".main-svg").first.wait_for()
                page.wait_for_timeout(1500)  # figures that come into view
                path = given.folder / f"{given.report.stem}-{width}-{scheme}.webp"
                image = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
                image.save(path, quality=70, method=6)
                page.close()
        browser.close()


if __name__ == "__main__":
    main()
