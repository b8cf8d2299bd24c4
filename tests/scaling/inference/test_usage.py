"""What `--help` says of the commands that use a network is what they take."""

import re
from dataclasses import fields

import pytest

from scaling.__main__ import COMMANDS, main
from scaling.inference.config import (
    EnsembleConfig,
    EvaluateConfig,
    ExplainConfig,
    PredictConfig,
    PublishConfig,
    UseConfig,
)
from scaling.inference.usage import HELP

SCHEMAS: dict[str, type[UseConfig]] = {
    "predict": PredictConfig,
    "evaluate": EvaluateConfig,
    "explain": ExplainConfig,
    "publish": PublishConfig,
    "ensemble": EnsembleConfig,
}


@pytest.mark.parametrize("verb", SCHEMAS)
def test_every_setting_is_told_with_its_default(verb: str) -> None:
    assert verb in COMMANDS
    settings = HELP[verb].partition("\nsettings\n")[2].partition("\n\n")[0]
    entries = re.split(r"\n(?=  \S)", settings)
    told = {name: entry for entry in entries for name in re.findall(r"(?:^| )([a-z_]+)=", entry)}
    schema = SCHEMAS[verb]
    assert set(told) == {each.name for each in fields(schema)}
    for each in fields(schema):
        default = getattr(schema(), each.name)
        if default is None:
            continue  # said in words
        value = f"[{','.join(default)}]" if isinstance(default, list) else str(default)
        assert told[each.name].rstrip().endswith(f"[{value}]"), each.name


def test_help_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["predict", "--help"])
    assert stop.value.code == 0
    assert capsys.readouterr().out == HELP["predict"]
