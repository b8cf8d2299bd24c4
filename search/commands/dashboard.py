"""`python -m search dashboard`: a study in a browser, with each trial's note and pictures."""

import importlib.util
from typing import Final

from blocks.console import console
from search.commands.which import own_settings, which_study
from search.errors import ConfigError

HOST: Final = "127.0.0.1"
PORT: Final = "8080"
HOW: Final = 'pip install "compound-nas[dashboard]"'


def run(arguments: list[str]) -> None:
    """Show it until Ctrl-C."""
    own, others = own_settings(arguments, {"host": HOST, "port": PORT})
    port = own["port"]
    if not port.isdecimal() or int(port) > 65535:
        raise ConfigError(f"port={port}: expected a number up to 65535; 0 is any that is free")
    folder = which_study("dashboard", others)
    if importlib.util.find_spec("optuna_dashboard") is None:
        raise ConfigError(f"the dashboard needs optuna-dashboard, not installed here: {HOW}")
    from search.dashboard.serve import serve  # Optuna and its dashboard

    def started(address: str) -> None:
        console.print(f"dashboard of {folder.study}: {address} (Ctrl-C ends it)")

    serve(folder, own["host"], int(port), started)
