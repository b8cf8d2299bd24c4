"""Where a search starts: enqueued architectures, and the best of an earlier study."""

from typing import Any

from blocks.arch import parse_arch
from blocks.console import console
from blocks.errors import ArchError
from search.config.schema import RunConfig
from search.errors import ConfigError
from search.record.folder import StudyFolder
from search.space.members import SpaceCandidates


def starting_points(config: RunConfig, candidates: SpaceCandidates) -> list[dict[str, Any]]:
    """What is evaluated first: the enqueued spellings, then the best of an earlier study.

    Raises:
        ConfigError: a spelling cannot be read, or is no feasible member of the space.
        StudyError: there is no such study.
    """
    found = []
    for spelling in config.search.enqueue:
        try:
            arch = parse_arch(spelling)
            found.append(candidates.find(arch))
        except (ArchError, ConfigError) as error:
            raise ConfigError(f"search.enqueue: {error}") from None
        network, _, _ = candidates.network(found[-1])
        if network != arch:
            console.print(f"{arch} is evaluated at the budget's widths: {network}", markup=False)
    if config.search.warm_start is None:
        return found
    earlier = StudyFolder(config.results_dir, config.search.warm_start).require().completed()
    earlier.sort(key=lambda record: (-record.metrics["val_accuracy"], record.cost.macs))
    members = []
    for record in earlier:
        try:
            members.append(candidates.find(parse_arch(record.arch)))
        except ConfigError:
            continue  # of another space or budget
        if len(members) == config.search.warm_start_top:
            break
    console.print(
        f"warm start: the best {len(members)} of {len(earlier)} networks of "
        f"{config.search.warm_start} that this space and budget have"
    )
    return found + members
