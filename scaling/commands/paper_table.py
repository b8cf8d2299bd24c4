"""A table of the paper, beside what its rows really cost."""

from rich.table import Table

from blocks.console import console, millions
from scaling.paper_tables import COMPOUND, NOTES, count_table


def show_table(name: str) -> None:
    """Print a table of the paper: what it says its rows cost, and what they cost."""
    rows = count_table(name)
    screen = Table(
        title=f"EfficientNet (1905.11946) {name.replace('table', 'Table ')}, rebuilt",
        title_justify="left",
    )
    for heading in ("network", "setting"):
        screen.add_column(heading)
    for heading in (
        "macs, counted", "macs, printed", "counted / compound", "macs / baseline", "params",
        "resolution", "top-1, printed",
    ):  # fmt: skip
        screen.add_column(heading, justify="right")
    compound = {each.row.network: each.cost.macs for each in rows if each.row.label == COMPOUND}
    for number, each in enumerate(rows):
        row = each.row
        if number and row.network != rows[number - 1].row.network:
            screen.add_section()
        screen.add_row(
            row.network,
            row.label,
            millions(each.cost.macs),
            "–" if row.billions is None else f"{row.billions:g}G",
            f"{each.cost.macs / compound[row.network] - 1:+.0%}",
            f"{each.ratio:.2f}×",
            f"{each.cost.params:,}",
            str(row.resolution),
            "–" if row.top1 is None else f"{row.top1:.1f}%",
        )
    console.print(screen)
    console.print(NOTES[name])
