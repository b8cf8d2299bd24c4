"""`python -m search rm`: delete a study."""

from blocks.console import console
from search.commands.ls import bytes_for_people
from search.commands.which import named, which_study
from search.record.shelf import remove


def run(arguments: list[str]) -> None:
    """Delete the folder of the study that is named, unless it is in use."""
    named("rm", arguments)
    folder = which_study("rm", arguments)
    size = remove(folder)
    console.print(f"deleted {folder.path}, {bytes_for_people(size)}")
