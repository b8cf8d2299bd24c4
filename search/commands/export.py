"""`python -m search export`: a study's trials as CSV, on standard output."""

import sys

from search.commands.which import named, which_study


def run(arguments: list[str]) -> None:
    """Print a row for each trained candidate; failed ones are in trials.jsonl alone."""
    named("export", arguments)
    folder = which_study("export", arguments)
    from search.study.study import Study  # pandas

    Study(folder).trials().to_csv(sys.stdout, index=False)
