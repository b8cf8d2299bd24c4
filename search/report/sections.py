"""The sections of a report in their order: those for which a study has data."""

from typing import Final

from search.report.blocks import Figure, Room, Section
from search.report.facts import Facts
from search.report.grown import grown
from search.report.importance import importance
from search.report.made_by import hours, made_by
from search.report.searched import failures, searched

ORDER: Final = (
    "front", "final", "family", "scaling", "progress", "curves", "won", "importance", "errors",
    "fidelity", "members", "ensembles", "explained", "hours", "failures", "made",
)  # fmt: skip


def sections_of(facts: Facts, drawings: dict[str, str]) -> list[Section]:
    """All sections; `drawings` gets the networks that figures show, by name."""
    found = [
        *searched(facts, drawings), importance(facts), *grown(facts, Room()), hours(facts),
        failures(facts), made_by(facts),
    ]  # fmt: skip
    return sorted(
        (each for each in found if each is not None), key=lambda each: ORDER.index(each.key)
    )


def figures_of(sections: list[Section]) -> list[Figure]:
    """The figures of these sections, in order."""
    return [block for each in sections for block in each.blocks if isinstance(block, Figure)]
