"""`python -m search rm`: delete a study."""

from blocks.console import console
from blocks.errors import one_line
from search.commands.ls import bytes_for_people
from search.commands.which import named, which_study
from search.config.storage import JOURNAL, Address
from search.errors import StudyError
from search.record.folder import StudyFolder
from search.record.shelf import remove


def run(arguments: list[str]) -> None:
    """Delete the folder of the study that is named, unless it is in use; and its sampler's memory,
    where that is in a database."""
    named("rm", arguments)
    folder = which_study("rm", arguments, damaged=True)
    address, token = _database(folder), folder.token
    size = remove(folder)
    console.print(f"deleted {folder.path}, {bytes_for_people(size)}")
    if address is None:
        return
    from search.study.database import forget  # SQLAlchemy

    try:
        forget(address, folder.study, token)
        console.print(f"deleted the study {folder.study!r} in {address}")
    except StudyError as error:
        console.print(f"the study {folder.study!r} in {address} stays there: {one_line(error)}")


def _database(folder: StudyFolder) -> Address | None:
    """Where its sampler's memory is, if that is no file of it."""
    try:
        storage = folder.read_config().storage
    except (StudyError, OSError):  # damaged, which is no reason to keep it
        return None
    return Address(storage) if storage not in (None, JOURNAL) else None
