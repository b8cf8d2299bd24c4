"""`python -m search archive`: a study as one file, which `restore` reads."""

import shlex
from pathlib import Path

from blocks.console import console
from search.commands.ls import bytes_for_people
from search.commands.which import named, which_study, with_file
from search.errors import StudyError
from search.record.archive import archive


def run(arguments: list[str]) -> None:
    """Write NAME.tar.gz, or `file=`."""
    file, others = with_file(arguments)
    named("archive", others)
    folder = which_study("archive", others)
    path = Path(file or f"{folder.study}.tar.gz").expanduser()
    if path.exists():
        raise StudyError(f"{path} is there already; expected file=ANOTHER.tar.gz")
    size = archive(folder, path)
    console.print(f"wrote {path} ({bytes_for_people(size)}); elsewhere:", whole=True)
    console.print(
        "  " + shlex.join(["python", "-m", "search", "restore", f"file={path}"]), whole=True
    )
