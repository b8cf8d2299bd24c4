"""One job of `python -m search run`: a study, and the scaling steps after it."""

import os
import re
import signal
import subprocess
import sys
from dataclasses import replace
from types import FrameType

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from blocks import messages
from blocks.console import console, run_main
from search.config.arguments import quote
from search.config.compose import to_object
from search.evaluators.process import PARENT_VARIABLE
from search.record.folder import StudyFolder

RESUME = "the trials so far are on disk, and the same command goes on from them"


def run_job(settings: DictConfig) -> None:
    """Search, fit, emit. Hydra has parsed the settings; from here on they are a dataclass."""
    config = to_object(settings)
    if HydraConfig.get().mode == RunMode.MULTIRUN:
        study = job_study(config.study, HydraConfig.get().job.override_dirname)
        config = replace(config, study=study)
        console.rule(config.study)

    def job() -> None:
        from search.commands.progress import TrialProgress
        from search.commands.screens.search import show_search
        from search.study.run import search

        messages.show()  # in a launcher's own process too

        # A polite kill is a Ctrl-C: the front so far is written, the lock released.
        signal.signal(signal.SIGTERM, _interrupt)
        found = search(config, TrialProgress)
        show_search(found)
        if config.search.scale:
            _scale(found.study.folder)

    run_main(job, RESUME)


run_hydra = hydra.main(config_path="pkg://conf", config_name="config", version_base="1.3")(run_job)
"""`run_job` behind Hydra's command line; launchers send the plain function to their workers."""


def job_study(study: str, override_dirname: str) -> str:
    """A multirun's study of one job: the study's name and the swept settings."""
    if not override_dirname:
        return study
    return re.sub(r"[^A-Za-z0-9._+=,-]+", "-", f"{study}_{override_dirname}")


def _scale(folder: StudyFolder) -> None:
    """Go on to the next step, which reads what this one wrote; `search` imports no `scaling`."""
    settings = [f"study={quote(folder.study)}", f"results_dir={quote(folder.path.parent)}"]
    for step in ("fit", "emit"):
        with subprocess.Popen(
            [sys.executable, "-m", "scaling", step, *settings],
            env={**os.environ, PARENT_VARIABLE: str(os.getpid())},
        ) as child:
            try:
                code = child.wait()
            except KeyboardInterrupt:
                child.terminate()  # a polite kill reached this process alone
                raise
        if code == 130:
            raise KeyboardInterrupt
        if code:
            sys.exit(code)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
