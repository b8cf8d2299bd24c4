"""What a search evaluates first: enqueued architectures, and the best of an earlier study."""

import contextlib
import json
from typing import Any, Final

from blocks.arch import parse_arch
from blocks.errors import DAMAGED, ArchError, one_line
from blocks.messages import say
from search.config.schema import RunConfig
from search.errors import ConfigError, StudyError
from search.record.folder import StudyFolder
from search.space.members import SpaceCandidates
from search.study.objective import Objective
from search.study.reference import references_of

START: Final = "start.json"
"""In a study's folder: the combinations that it began with."""


def read_start(
    config: RunConfig, folder: StudyFolder, candidates: SpaceCandidates
) -> list[dict[str, Any]]:
    """What the study begins with: as it was when it began, whatever became of an earlier study.

    Raises:
        ConfigError, StudyError: see `starting_points`; or start.json is damaged.
    """
    if not (folder / START).exists():
        return starting_points(config, candidates)
    try:
        found = json.loads((folder / START).read_text(encoding="utf-8"))
        if all(candidates.encode(values) is not None for values in found):
            return list(found)
        reason = "a combination that the space has not"
    except DAMAGED as error:
        reason = one_line(error)
    raise StudyError(f"{folder / START} is damaged: {reason}")


def starting_points(config: RunConfig, candidates: SpaceCandidates) -> list[dict[str, Any]]:
    """The enqueued spellings, then the best of an earlier study by this search's objective, then
    the references that the space holds.

    Raises:
        ConfigError: a spelling cannot be read, or is no feasible member of the space.
        StudyError: there is no such study.
    """
    found = []
    for number, spelling in enumerate(config.search.enqueue, 1):
        try:
            arch = parse_arch(spelling)
            found.append(candidates.find(arch))
        except (ArchError, ConfigError) as error:
            raise ConfigError(f"search.enqueue: {error}") from None
        network, cost, _ = candidates.network(found[-1])
        if network != arch:
            said = f"macs {cost.macs:,}, params {cost.params:,}"
            say(f"network {number} of search.enqueue is evaluated at the budget's widths: {said}")
    if config.search.warm_start is not None:
        found += _best_of_earlier(config, candidates)
    return found + _references(config, candidates)


def _references(config: RunConfig, candidates: SpaceCandidates) -> list[dict[str, Any]]:
    """Published networks of which a member has all but the widths."""
    found = []
    in_channels, num_classes = candidates.space.in_channels, candidates.num_classes
    for reference in references_of(config, in_channels, num_classes, tell=False):
        with contextlib.suppress(ConfigError):
            found.append(candidates.find(reference.arch))
    return found


def _best_of_earlier(config: RunConfig, candidates: SpaceCandidates) -> list[dict[str, Any]]:
    assert config.search.warm_start is not None
    earlier = StudyFolder(config.results_dir, config.search.warm_start).require().completed()
    earlier.sort(key=Objective.of(config).rank, reverse=True)
    members = []
    for record in earlier:
        try:
            members.append(candidates.find(parse_arch(record.arch)))
        except ConfigError:
            continue  # of another space or budget
        if len(members) == config.search.warm_start_top:
            break
    say(
        f"warm start: the best {len(members)} of {len(earlier)} networks of "
        f"{config.search.warm_start} that this space and budget have"
    )
    return members
