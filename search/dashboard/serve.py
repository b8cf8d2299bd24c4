"""optuna-dashboard on a study: what a search knows, with our notes and pictures, in a browser."""

import json
import socketserver
import threading
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, Final
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

import optuna
from optuna.artifacts import ArtifactMeta
from optuna.samplers import RandomSampler
from optuna.storages import JournalStorage
from optuna.trial import FrozenTrial, Trial, TrialState
from optuna_dashboard import save_note, wsgi

from blocks.errors import DAMAGED, one_line
from search.config.storage import JOURNAL
from search.dashboard.journal import Followed
from search.dashboard.pages import Page, Pages
from search.errors import ConfigError, StudyError
from search.record.folder import StudyFolder
from search.record.trials import Record, read_records
from search.report.facts import read_yaml, readable
from search.study.objective import Objective

EVERY: Final = 3.0
"""Seconds between two looks for new trials."""
DEFAULT_CLASSES: Final = 10
"""Before b0.yaml says how many; only the last layer's cost in a drawing shows it."""


class Dashboard:
    """A study's server, which listens at `address` from here on.

    The study is only read: what is written in the dashboard is forgotten with it. `port` 0 is any
    that is free.

    Raises:
        StudyError: the study has no trial yet, or a file of it is damaged.
        ConfigError: nobody can listen there.
    """

    def __init__(self, folder: StudyFolder, host: str, port: int) -> None:
        self._folder = folder
        self._config = folder.read_config()
        self._objective = Objective.of(self._config)
        journal = folder / "optuna.journal"
        storage = self._config.storage
        if storage not in (None, JOURNAL):
            raise StudyError(
                f"{folder.path} has its sampler's memory in {storage}, which `dashboard` does not "
                "show; expected `optuna-dashboard` with that address"
            )
        if not journal.is_file():
            raise StudyError(f"{folder.path} has no trial yet: a search writes {journal.name}")
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._pages: dict[int, Page] = {}
        self._noted: dict[int, TrialState] = {}
        try:
            self._storage = JournalStorage(Followed(journal))
            studies = self._storage.get_all_studies()
            if studies:
                self._study = optuna.load_study(
                    study_name=studies[0].study_name, storage=self._storage, sampler=RandomSampler()
                )
        except (AssertionError, *DAMAGED) as error:
            raise StudyError(f"{journal} is damaged: {one_line(error)}") from None
        if not studies:
            raise StudyError(f"{folder.path} has no trial yet: its {journal.name} is empty")
        with readable(folder):
            self._add_pages()
        application = wsgi(self._storage, artifact_store=Pages(self._pages))
        try:
            self._server = _Server((host, port), _Quiet)
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or error
            raise ConfigError(f"cannot listen at host={host} port={port}: {reason}") from None
        self._server.set_app(application)

    @property
    def address(self) -> str:
        """Where a browser finds it."""
        host, port = self._server.server_address[:2]
        return f"http://{host!s}:{port}"

    def serve(self) -> None:
        """Answer, and follow the search while it runs, until an exception (Ctrl-C) ends it."""
        stopped = threading.Event()
        following = threading.Thread(target=self._follow, args=(stopped,), daemon=True)
        following.start()
        try:
            self._server.serve_forever(poll_interval=0.2)
        finally:
            stopped.set()
            self._server.server_close()

    def _follow(self, stopped: threading.Event) -> None:
        while not stopped.wait(EVERY):
            try:
                self._add_pages()
            except (StudyError, OSError, AssertionError, *DAMAGED):
                continue  # a file in the middle of a change; or the study was deleted or moved

    def _add_pages(self) -> None:
        """A note and pictures for every trial that has begun, or ended, since the last time."""
        # Before the records: what has ended by now is recorded.
        trials = self._study.get_trials(deepcopy=False)
        records = read_records(self._folder.trials)
        by_number: dict[int, Record] = {record.number: record for record in records}
        by_arch: dict[str, Record] = {}
        for record in records:
            by_arch.setdefault(record.arch, record)
        baseline = read_yaml(self._folder / "b0.yaml")
        classes = int(baseline.get("num_classes", DEFAULT_CLASSES))
        for trial in trials:
            if self._noted.get(trial.number) == trial.state:
                continue
            ended = trial.state.is_finished()
            record_of_it = by_number.get(trial.number)
            if ended and record_of_it is None:
                record_of_it = by_arch.get(str(trial.user_attrs.get("arch")))
            page = Page(trial, record_of_it if ended else None, self._objective, classes)
            self._pages[trial.number] = page
            self._show(page, trial)
            self._noted[trial.number] = trial.state

    def _show(self, page: Page, trial: FrozenTrial) -> None:
        study, number = self._study._study_id, trial._trial_id
        save_note(Trial(self._study, number), page.note)
        for name, file, kind in page.files:
            # Of a trial that has ended Optuna changes no attribute; this is where the dashboard
            # keeps what was added to it later.
            content = json.dumps(asdict(ArtifactMeta(name, file, kind, None)))
            key = f"dashboard:artifacts:{number}:{name}"
            self._storage.set_study_system_attr(study, key, content)


class _Server(socketserver.ThreadingMixIn, WSGIServer):
    daemon_threads = True

    def server_bind(self) -> None:
        """Without a look-up of the host's name, which may take seconds."""
        socketserver.TCPServer.server_bind(self)
        host, port = self.server_address[:2]
        self.server_name, self.server_port = str(host), int(port)
        self.setup_environ()


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: a page asks every few seconds."""


Started = Callable[[str], None]


def serve(folder: StudyFolder, host: str, port: int, started: Started) -> None:
    """Show a study until Ctrl-C; `started` hears of the address."""
    dashboard = Dashboard(folder, host, port)
    started(dashboard.address)
    dashboard.serve()
