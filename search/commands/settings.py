"""`python -m search settings`: every setting, its type, its default, and what it means."""

import fnmatch
import textwrap

from blocks.console import LINE, console
from blocks.names import did_you_mean
from search.config.checks import CHOICES
from search.config.elsewhere import PREFIX, Elsewhere
from search.config.listing import Setting, list_settings
from search.config.options import options
from search.config.schema import DATASET, SPACE, RunConfig, StageConfig
from search.errors import ConfigError


def run(arguments: list[str]) -> None:
    """Print the settings whose names or meanings have the word, or match the pattern."""
    known = [
        *list_settings(RunConfig()),
        *list_settings(StageConfig(), "space.stages[…]."),
        *list_settings(Elsewhere(), PREFIX),
    ]
    named = [
        Setting(f"{group}=NAME", "one of " + ", ".join(options(group)), default, "")
        for group, default in (("dataset", DATASET), ("space", SPACE))
    ]
    for pattern in arguments or [""]:
        shown = [each for each in [*named, *known] if _matches(each, pattern)]
        if not shown:
            raise ConfigError(
                f"no setting has {pattern!r} in its name or meaning"
                f"{did_you_mean(pattern, [each.name for each in known])}"
            )
        for setting in shown:
            console.print(_describe(setting))


def _matches(setting: Setting, pattern: str) -> bool:
    pattern = pattern.lower().removesuffix("=")
    if any(letter in pattern for letter in "*?"):
        return fnmatch.fnmatch(setting.name, pattern)
    return pattern in setting.name.lower() or pattern in setting.meaning.lower()


def _describe(setting: Setting) -> str:
    words = CHOICES.get(setting.name)
    kind = setting.kind if words is None else "one of " + ", ".join(words)
    meaning = textwrap.wrap(setting.meaning, LINE - 4)
    head = f"{setting.name}=" if "=" not in setting.name else setting.name
    return "\n".join([f"{head}  {kind}  [{setting.default}]", *(f"    {line}" for line in meaning)])
