"""What draws a page's figures: plotly's own bundle of traces with two axes, which is shipped here.

The bundle in plotly's Python package has maps and solids too, and takes a browser three times as
long to start.
"""

from pathlib import Path
from typing import Final

FILE: Final = Path(__file__).parent / "plotly" / "plotly-cartesian.min.js"


def plotly_script() -> str:
    """The bundle, to be put into a page."""
    return FILE.read_text("utf-8")
