"""`python -m search run`: search, choose a B0, fit the scaling, emit the family."""

import argparse
import contextlib
import io
import sys
from pathlib import Path

from hydra._internal.utils import get_args_parser  # what hydra.main itself parses with

from blocks.console import fail
from search.commands.job import run_hydra
from search.commands.sweep import compose_job, summarise
from search.config.compose import expand_sweep


def run(arguments: list[str]) -> None:
    """Check every job's settings, so that mistakes are one line; then hand over to Hydra."""
    parsed = _parse(arguments)
    jobs, fixed = expand_sweep(parsed.overrides) if parsed.multirun else ([parsed.overrides], [])
    configs = [compose_job(job) for job in jobs]
    from search.study.settle import check_settings  # torch and Optuna

    for config in configs:
        check_settings(config)
    sys.argv = [sys.argv[0], *arguments]
    if not parsed.multirun:
        run_hydra()
        return
    # Hydra makes this folder itself, but its complaint about a read-only disk is no one line.
    Path(configs[0].results_dir, "sweeps", configs[0].study).mkdir(parents=True, exist_ok=True)
    excluded = ",".join(sorted({*fixed, "study"}))
    sys.argv.append(f"hydra.job.config.override_dirname.exclude_keys=[{excluded}]")
    run_hydra()
    summarise(jobs, fixed)


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
