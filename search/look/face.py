"""A look at images from Python."""

from typing import Any

from search.config.face import config_from
from search.config.schema import RunConfig
from search.look.look import Look, look
from search.study.settle import check_settings


def look_at(config: RunConfig | None = None, /, **settings: Any) -> Look:
    """What the images are like that a search with these settings would train on.

    Settings are those of `search.run`. Nothing is printed or written; `write_look` writes what
    `python -m search data` does.

        found = look_at(dataset={"name": "imagefolder", "root": "pets"})
        found.counts, found.duplicates.twins, found.probes

    Raises:
        ConfigError: a setting is misspelt, of the wrong type, or impossible.
        DataError: the images are missing, or too few.
    """
    known = config or config_from(**settings)
    check_settings(known)
    return look(known)
