"""Several studies as one page and as figures, in a folder of their own."""

import csv
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from blocks.errors import one_line
from blocks.files import write_durably
from search.errors import StudyError
from search.record.folder import StudyFolder
from search.report.facts import readable
from search.report.page import missing, render_compared
from search.report.paper import Paper
from search.report.print import HOME, print_all
from search.report.sections import figures_of
from search.report.several import read_studies, sections_compared

FILE: Final = "compare.html"
_LONGEST: Final = 80


def compare_studies(
    folders: Sequence[StudyFolder], home: Path, paper: Paper, formats: Sequence[str]
) -> list[Path]:
    """Write figures/ in these formats, and where its extra is installed compare.html, into `home`;
    what was written.

    Raises:
        StudyError: there are fewer than two studies, or one of them is not there, damaged, or
            without a candidate that was trained to the end.
    """
    if len(folders) < 2:
        raise StudyError(
            f"one study ({', '.join(each.study for each in folders)}) compares with nothing; "
            "expected study=[one,other]"
        )
    written = []
    with readable(*folders):
        compared = read_studies(folders)
        sections = sections_compared(compared)
        if formats:
            names = print_all(figures_of(sections), home / HOME, paper, formats)
            written = [home / HOME / name for name in names]
        if not missing():
            title = f"{len(folders)} studies, compared"
            page = render_compared(compared, sections, title)
            write_durably(home / FILE, page.encode())
            written.insert(0, home / FILE)
    return written


def home_of(results_dir: str, studies: Sequence[str]) -> Path:
    """Where a comparison goes: `compared/a+b`, the names cut short where they are long."""
    name = "+".join(studies)
    if len(name) > _LONGEST:
        digest = hashlib.sha256(name.encode()).hexdigest()[:8]
        name = f"{studies[0][:40]}+{len(studies) - 1}-more-{digest}"
    return Path(results_dir).expanduser() / "compared" / name


def studies_of_sweep(results_dir: str, sweep: str) -> list[str]:
    """The studies that a sweep has left, by its front.csv.

    Raises:
        StudyError: there is no such sweep, or its file is damaged.
    """
    path = StudyFolder(str(Path(results_dir, "sweeps")), sweep).inside() / "front.csv"
    if not path.is_file():
        raise StudyError(f"there is no {path}; expected sweep=NAME of a `search run -m`")
    try:
        with path.open(newline="", encoding="utf-8") as file:
            found = {row.get("study") or "" for row in csv.DictReader(file)}
    except (UnicodeDecodeError, csv.Error) as error:
        raise StudyError(f"{path} is damaged: {one_line(error)}") from None
    if "" in found:
        raise StudyError(f"{path} is damaged: a line has no study")
    return sorted(found)
