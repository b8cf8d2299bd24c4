"""`python -m search scores`: zero-cost proxies of a study's trained architectures."""

from dataclasses import replace

from search.commands.which import PLACE, refuse_others
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
    from search.evaluators.workers import PROCESS_BYTES, workers_for

    stored = folder.read_config()
    for name in given & set(READ):
        group, _, setting = name.partition(".")
        value = getattr(getattr(config, group), setting)
        stored = replace(stored, **{group: replace(getattr(stored, group), **{setting: value})})
    if stored.workers.count == 0:
        count = workers_for(stored.workers.threads, PROCESS_BYTES)
        stored = replace(stored, workers=replace(stored.workers, count=count))
    show_scores(scores(stored.results_dir, folder.study, stored))
