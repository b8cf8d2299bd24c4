"""Which study a command shows, and with which settings."""

from collections.abc import Mapping, Sequence

from blocks.names import did_you_mean
from search.config.arguments import as_typed, plain_text
from search.config.build import setting_kinds
from search.config.schema import RunConfig
from search.errors import ConfigError
from search.record.folder import StudyFolder

PLACE = ("study", "results_dir")
"""What says where a study lies."""


def settings_of(arguments: Sequence[str]) -> RunConfig:
    """The settings of a search, every value of them checked."""
    from search.config.compose import compose_config  # Hydra

    config: RunConfig = compose_config("config", arguments, RunConfig)
    from search.study.settle import check_settings  # torch and Optuna

    check_settings(config)
    return config


def which_study(command: str, arguments: Sequence[str], damaged: bool = False) -> StudyFolder:
    """The study of a command that takes its settings as they were. No Hydra: it is fast.

    `damaged`: one that has lost its settings will do.

    Raises:
        ConfigError: another setting is given.
        StudyError: there is no such study.
    """
    refuse_others(command, arguments, PLACE)
    given = dict(line.split("=", 1) for line in as_typed(arguments, RunConfig))
    study = given.get("study", RunConfig.study)
    results_dir = given.get("results_dir", RunConfig.results_dir)
    folder = StudyFolder(plain_text(results_dir), plain_text(study))
    if damaged and folder.inside().trials.is_file():
        return folder
    return folder.require()


def with_file(arguments: Sequence[str]) -> tuple[str | None, list[str]]:
    """What `file=` says, and the other arguments.

    Raises:
        ConfigError: it says nothing.
    """
    own, others = own_settings(arguments, {"file": ""})
    return own["file"] or None, others


def own_settings(
    arguments: Sequence[str], defaults: Mapping[str, str]
) -> tuple[dict[str, str], list[str]]:
    """What a command's own settings say, which are none of a study, and the other arguments.

    Raises:
        ConfigError: one of them says nothing.
    """
    own, others = dict(defaults), []
    for each in arguments:
        name, equals, value = each.partition("=")
        if not equals or name not in own:
            others.append(each)
            continue
        if not value.strip():
            raise ConfigError(f"{name}= has no value (is a variable of the shell empty?)")
        own[name] = value
    return own, others


def with_options(
    arguments: Sequence[str], options: Mapping[str, Sequence[str]], several: Sequence[str] = ()
) -> tuple[dict[str, list[str]], list[str]]:
    """What is given of a command's own options, each one of its values, and the other arguments.

    Of `several` more than one value is taken, with commas between.

    Raises:
        ConfigError: another value; names those that are expected.
    """
    given: dict[str, list[str]] = {}
    others: list[str] = []
    for argument in arguments:
        name, _, value = argument.partition("=")
        if name not in options:
            others.append(argument)
            continue
        values = value.strip("[]").split(",") if name in several else [value]
        values = [each.strip() for each in values]
        for each in values:
            if each not in options[name]:
                expected = ", ".join(options[name])
                raise ConfigError(
                    f"{argument}: expected {'some' if name in several else 'one'} of {expected}"
                    f"{did_you_mean(each, options[name])}"
                )
        given[name] = list(dict.fromkeys(values))
    return given, others


def named(command: str, arguments: Sequence[str]) -> None:
    """Refuse a command that is to name its study, and does not.

    Raises:
        ConfigError: there is no `study=`.
    """
    if not any(each.lstrip("+").startswith("study=") for each in arguments):
        raise ConfigError(f"`{command}` takes no study unasked; expected study=NAME")


def refuse_others(command: str, arguments: Sequence[str], read: Sequence[str]) -> set[str]:
    """The names of the settings given, all of which are in `read`.

    Raises:
        ConfigError: one that is not.
    """
    given = {argument.lstrip("+~").partition("=")[0] for argument in arguments}
    known = setting_kinds(RunConfig)
    for name in sorted(given - set(read)):
        if name in known or any(each.startswith(f"{name}.") for each in known):
            raise ConfigError(
                f"{name} is a setting of the study, which `{command}` takes as it was; expected "
                f"{', '.join(read)}"
            )
    as_typed(arguments, RunConfig)
    for name in sorted(given - set(read)):
        raise ConfigError(f"{name} is not of `{command}`; expected {', '.join(read)}")
    return given
