"""`python -m search scores`: zero-cost proxies of a study's trained architectures."""

import operator

from search.commands.which import PLACE, refuse_others
from search.config.change import changed
from search.config.compose import compose_config
from search.config.schema import RunConfig
from search.record.folder import StudyFolder

READ = (
    "dataset.root",
    "dataset.download",
    "dataset.cache",
    "workers.count",
    "workers.threads",
)
"""What `scores` takes from the command line, and not from the study."""


def run(arguments: list[str]) -> None:
    """Score every trained architecture; write scores.csv."""
    config: RunConfig = compose_config("config", arguments, RunConfig)
    given = refuse_others("scores", arguments, (*PLACE, *READ))
    folder = StudyFolder(config.results_dir, config.study).require()
    from search.assess.scores import scores
    from search.commands.screens.scores import show_scores

    stored = folder.read_config()
    for name in given & set(READ):
        stored = changed(stored, {name: operator.attrgetter(name)(config)})
    show_scores(scores(config.results_dir, config.study, stored))
