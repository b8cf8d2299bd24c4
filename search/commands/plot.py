"""`python -m search plot`: the figures of a study as files: pareto.png, and those of its report."""

from typing import Final

from blocks.console import console
from search.commands.which import which_study, with_options

OPTIONS: Final = {
    "format": ("png", "svg", "pdf"),
    "columns": ("1", "2"),
    "dark": ("true", "false"),
}


def run(arguments: list[str]) -> None:
    """Write pareto.csv, pareto.png and figures/ from what is on disk."""
    options, others = with_options(arguments, OPTIONS, several=["format"])
    folder = which_study("plot", others)
    from search.report.facts import Facts, readable
    from search.report.paper import Paper
    from search.report.print import print_study
    from search.study.front import write_front

    write_front(folder.read_config(), folder)
    console.print(f"wrote {folder / 'pareto.png'} and {folder / 'pareto.csv'}")
    paper = Paper(int(options.get("columns", ["1"])[0]), options.get("dark") == ["true"])
    formats = options.get("format", ["png"])
    with readable(folder):
        names = print_study(Facts.read(folder), paper, formats)
    console.print(f"wrote {', '.join(names)} to {folder / 'figures'}")
    console.print("captions.txt there says what each shows")
