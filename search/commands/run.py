"""`python -m search run`: search, choose a B0, fit the scaling, emit the family."""

import argparse
import contextlib
import io
import sys

import hydra
from hydra._internal.utils import get_args_parser  # what hydra.main itself parses with

from blocks.console import fail
from blocks.passwords import without_passwords
from search.commands.job import run_job
from search.commands.sweep import check_launcher, compose_job, sweep
from search.config.arguments import as_typed
from search.config.options import CONF
from search.config.schema import RunConfig


def run(arguments: list[str]) -> None:
    """Check every job's settings, so that mistakes are one line; then run them."""
    parsed = _parse(arguments)
    lines = as_typed(parsed.overrides, RunConfig, sweep=parsed.multirun)
    check_launcher(lines)
    if parsed.multirun:
        sweep(lines, parsed.config_dir)
        return
    config = compose_job(lines)
    from search.study.settle import check_settings  # torch and Optuna

    check_settings(config)
    if parsed.cfg or parsed.info or parsed.hydra_help or parsed.shell_completion or parsed.resolve:
        _show(arguments, parsed.overrides, lines)
        return
    if code := run_job(config):
        sys.exit(code)


def _parse(arguments: list[str]) -> argparse.Namespace:
    """Hydra's own options and the settings, a wrong option being one line like any mistake."""
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            return get_args_parser().parse_args(arguments)
    except SystemExit as stop:
        if stop.code:
            reason = said.getvalue().strip().rpartition("error: ")[2]
            fail(f"{reason}; settings are written name=value, see --help")
        raise


def _show(arguments: list[str], typed: list[str], lines: list[str]) -> None:
    """What Hydra says of the settings: `--cfg job` prints them."""
    options = list(arguments)
    for override in typed:
        options.remove(override)
    sys.argv = [sys.argv[0], *options, *map(without_passwords, lines)]
    hydra.main(config_path=str(CONF), config_name="config", version_base="1.3")(lambda _: None)()
