"""The networks one would have used, beside which a search stands."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import yaml

from blocks.arch import format_arch
from blocks.errors import DAMAGED, one_line
from blocks.messages import say
from blocks.yaml_text import load_yaml
from search.config.schema import RunConfig
from search.errors import ConfigError, StudyError
from search.record.folder import StudyFolder
from search.space.budget import cost_budget
from search.space.references import Reference, make_reference

FILE: Final = "references.yaml"
"""In a study's folder: name → spelling, and what was done to the published network."""


def references_of(
    config: RunConfig, in_channels: int, num_classes: int, tell: bool = True
) -> list[Reference]:
    """The published networks that the same proxy is to train, for these images, at the budget.

    Where the budget is an upper limit, they cost as much as it allows. One that cannot be brought
    to the budget is left out, and said so with `tell`.
    """
    budget = cost_budget(config)
    if budget.target is None:
        most = budget.most / (1 + budget.tolerance)
        budget = replace(budget, target=most)
    found = []
    for name in config.search.references:
        try:
            found.append(make_reference(name, config.proxy.size, in_channels, budget, num_classes))
        except ConfigError as error:
            if tell:
                say(f"reference left out: {error}")
    return found


def write_reference_names(folder: StudyFolder, references: Sequence[Reference]) -> None:
    """Write which published network each of `reference.jsonl` is."""
    content = {
        each.name: {"arch": format_arch(each.arch), "made": each.describe()} for each in references
    }
    folder.write(FILE, yaml.safe_dump(content, sort_keys=False, width=10_000))


def read_reference_names(folder: StudyFolder) -> dict[str, str]:
    """Spelling → name, of what was trained beside the study; empty where nothing was.

    Raises:
        StudyError: the file is damaged.
    """
    path = folder / FILE
    try:
        content = load_yaml(path.read_text(encoding="utf-8"))
        return {str(made["arch"]): str(name) for name, made in content.items()}
    except FileNotFoundError:
        return {}
    except (yaml.YAMLError, *DAMAGED) as error:
        raise StudyError(f"{path} is damaged: {one_line(error)}") from None
