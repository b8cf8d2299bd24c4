"""Which study a command shows, and with which settings."""

from collections.abc import Sequence

from search.config.compose import compose_config
from search.config.schema import RunConfig
from search.errors import ConfigError
from search.record.folder import StudyFolder

PLACE = ("study", "results_dir")
"""What says where a study lies."""


def settings_of(arguments: Sequence[str]) -> RunConfig:
    """The settings of a search, every value of them checked."""
    config: RunConfig = compose_config("config", arguments, RunConfig)
    from search.study.settle import check_settings  # torch and Optuna

    check_settings(config)
    return config


def which_study(command: str, arguments: Sequence[str]) -> StudyFolder:
    """The study of a command that takes its settings as they were.

    Raises:
        ConfigError: another setting is given.
        StudyError: there is no such study.
    """
    config: RunConfig = compose_config("config", arguments, RunConfig)
    refuse_others(command, arguments, PLACE)
    return StudyFolder(config.results_dir, config.study).require()


def refuse_others(command: str, arguments: Sequence[str], read: Sequence[str]) -> set[str]:
    """The names of the settings given, all of which are in `read`.

    Raises:
        ConfigError: one that is not.
    """
    given = {override.lstrip("+~").partition("=")[0] for override in arguments}
    for name in sorted(given - set(read)):
        raise ConfigError(
            f"{name} is a setting of the study, which `{command}` takes as it was; expected "
            f"{', '.join(read)}"
        )
    return given
