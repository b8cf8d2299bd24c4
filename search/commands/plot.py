"""`python -m search plot`: draw results/<study>/pareto.png and pareto.csv again."""

from blocks.console import console
from search.commands.which import which_study


def run(arguments: list[str]) -> None:
    """Write both files from what is on disk."""
    folder = which_study("plot", arguments)
    from search.study.front import write_front

    write_front(folder.read_config(), folder)
    console.print(f"wrote {folder / 'pareto.png'} and {folder / 'pareto.csv'}")
