"""`python -m search restore`: the study of an archive, into a results folder."""

from pathlib import Path

from blocks.console import console
from search.commands.status import describe
from search.commands.which import refuse_others, with_file
from search.config.arguments import as_typed, plain_text
from search.config.schema import RunConfig
from search.errors import ConfigError
from search.record.archive import restore


def run(arguments: list[str]) -> None:
    """Unpack `file=`, every file checked by its hash, and say what the study is."""
    file, others = with_file(arguments)
    if file is None:
        raise ConfigError("`restore` reads what `archive` wrote; expected file=NAME.tar.gz")
    refuse_others("restore", others, ("results_dir",))
    given = dict(line.split("=", 1) for line in as_typed(others, RunConfig))
    home = plain_text(given.get("results_dir", RunConfig.results_dir))
    folder = restore(Path(file).expanduser(), home)
    console.print(f"restored {folder.path}")
    describe(folder)
