"""`python -m search ls`: the studies of a results folder."""

from rich.table import Table

from blocks.console import console
from search.commands.which import refuse_others
from search.config.arguments import as_typed, plain_text
from search.config.schema import RunConfig
from search.record.shelf import Shelved, studies


def run(arguments: list[str]) -> None:
    """Print a line for each study: state, trials, best, size on disk."""
    refuse_others("ls", arguments, ("results_dir",))
    given = dict(line.split("=", 1) for line in as_typed(arguments, RunConfig))
    home = plain_text(given.get("results_dir", RunConfig.results_dir))
    found = studies(home)
    if not found:
        console.print(f"no study in {home}")
        return
    table = Table(title=f"Studies of {home}", title_justify="left")
    for name in ("study", "state", "trials", "best", "on disk"):
        table.add_column(name, justify="right" if name in ("trials", "on disk") else "left")
    for study in found:
        table.add_row(*_cells(study))
    console.print(table)
    for study in found:
        if study.why:
            console.print(f"  {study.name}: {study.why}")


def _cells(study: Shelved) -> list[str]:
    trials = "" if study.why else f"{study.trials} of {study.asked}"
    return [study.name, study.state, trials, study.best, bytes_for_people(study.bytes)]


def bytes_for_people(count: int) -> str:
    """`1.2 MB`."""
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count} B"
