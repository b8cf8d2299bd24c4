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
    for name in ("trial", f"val {config.quality.words}", "macs", "params", "architecture"):
        table.add_column(name, justify="left" if name == "architecture" else "right",
                         overflow="fold")  # fmt: skip
    for row in front[front["on_front"]].to_dict("records"):
        table.add_row(
            str(row["trial"]),
            f"{row[config.quality.val]:.4f}",
            millions(row["macs"]),
            f"{row['params']:,}",
            row["arch"],
        )
    console.print(table)
