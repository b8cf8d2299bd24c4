"""`python -m search report`: results/<study>/report.html, a page that shows all of a study."""

from blocks.console import console
from search.commands.which import which_study


def run(arguments: list[str]) -> None:
    """Write the page from what is on disk."""
    folder = which_study("report", arguments)
    from search.report.page import write_report

    console.print(f"wrote {write_report(folder)}")
