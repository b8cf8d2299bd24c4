"""A search from Python."""

from typing import Any

from blocks.messages import say
from search.config.face import config_from
from search.config.schema import RunConfig
from search.study.run import search
from search.study.study import Study


def run(config: RunConfig | None = None, /, **settings: Any) -> Study:
    """Search, or go on with a search, write its report.html, and return the study with its B0.

    Settings are those of `python -m search run`, as groups or by dotted names. Nothing is
    printed. Without the extra `report` there is no page. The scaling step is `scaling.fit` and
    `scaling.emit` on what this returns.

        run(study="pets", dataset={"name": "imagefolder", "root": "pets"},
            budget={"target": "2M"}, **{"proxy.epochs": 6})

    Raises:
        ConfigError: a setting is misspelt, of the wrong type, or impossible.
        DataError, StudyError: the images or the study's folder are not as expected.
    """
    from search.report.page import report_at_end  # which reads studies

    study = search(config or config_from(**settings)).study
    say(report_at_end(study.folder))
    return study
