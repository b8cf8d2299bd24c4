"""A study of `python -m search run`, and the scaling steps after it."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from types import FrameType

from blocks.console import console
from search.config.arguments import quote
from search.config.schema import RunConfig
from search.evaluators.process import PARENT_VARIABLE
from search.record.folder import StudyFolder

HOME = Path(__file__).resolve().parents[2]
"""Where the three packages are."""


def run_job(config: RunConfig) -> int:
    """Search, fit, emit; the exit code, of which 0 is that all of it is done."""
    from search.commands.progress import TrialProgress
    from search.commands.screens.search import show_search
    from search.study.run import search

    # A polite kill is a Ctrl-C: the front so far is written, the lock released.
    signal.signal(signal.SIGTERM, _interrupt)
    found = search(config, TrialProgress)
    show_search(found)
    code = _scale(found.study.folder) if config.search.scale else 0
    from search.report.page import report_at_end

    console.print(report_at_end(found.study.folder), whole=True)
    return code


def _scale(folder: StudyFolder) -> int:
    """Go on to the next step, which reads what this one wrote; `search` imports no `scaling`."""
    settings = [f"study={quote(folder.study)}", f"results_dir={quote(folder.path.parent)}"]
    path = os.pathsep.join(filter(None, [str(HOME), os.environ.get("PYTHONPATH")]))
    for step in ("fit", "emit"):
        with subprocess.Popen(
            # -P: a folder `scaling` of the user's is another.
            [sys.executable, "-P", "-m", "scaling", step, *settings],
            env={**os.environ, "PYTHONPATH": path, PARENT_VARIABLE: str(os.getpid())},
        ) as child:
            try:
                code = child.wait()
            except KeyboardInterrupt:
                child.terminate()  # a polite kill reached this process alone
                raise
        if code == 130:
            raise KeyboardInterrupt
        if code:
            return code
    return 0


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
