"""The figures of a report, as files in a study's folder."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from blocks.files import write_durably
from search.report.blocks import Figure
from search.report.facts import Facts
from search.report.paper import Paper, print_figure
from search.report.sections import figures_of, sections_of

HOME: Final = "figures"
"""In a study's folder."""
CAPTIONS: Final = "captions.txt"


def print_study(facts: Facts, paper: Paper, formats: Sequence[str]) -> list[str]:
    """Write every figure that a study has data for; the names of the files."""
    return print_all(figures_of(sections_of(facts, {})), facts.folder.path / HOME, paper, formats)


def print_all(
    figures: Sequence[Figure], home: Path, paper: Paper, formats: Sequence[str]
) -> list[str]:
    """Write these figures and captions.txt into a folder; the names of the files."""
    names = []
    for figure in figures:
        for form, content in print_figure(figure, paper, formats).items():
            names.append(f"{figure.name}{paper.suffix}.{form}")
            write_durably(home / names[-1], content)
    captions = "\n".join(f"{figure.name}: {figure.says}\n" for figure in figures)
    write_durably(home / CAPTIONS, captions.encode())
    return names
