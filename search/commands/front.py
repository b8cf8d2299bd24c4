"""`python -m search front`: the Pareto front of a study, as a table."""

from rich.table import Table

from blocks.console import console, millions
from search.commands.which import which_study


def run(arguments: list[str]) -> None:
    """Print the front; write pareto.csv and pareto.png."""
    folder = which_study("front", arguments)
    from search.study.front import write_front

    config = folder.read_config()
    front = write_front(config, folder)
    table = Table(title=f"Pareto front of {folder.study}", title_justify="left")
    for name in ("trial", f"val {config.quality.words}", "macs", "params"):
        table.add_column(name, justify="right", overflow="fold")
    if console.live:
        table.add_column("architecture", overflow="fold")
    for row in front[front["on_front"]].to_dict("records"):
        cells = [
            str(row["trial"]),
            f"{row[config.quality.val]:.4f}",
            millions(row["macs"]),
            f"{row['params']:,}",
            row["arch"],
        ]
        table.add_row(*cells[: len(table.columns)])
    console.print(table)
    if not console.live:
        console.print(f"{folder / 'pareto.csv'} has their spellings")
