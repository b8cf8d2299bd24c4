"""The sampler's memory in a real PostgreSQL: the same trials, nothing lost with a connection."""

import logging
import os
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from optuna.storages import RDBStorage
from optuna.trial import TrialState
from sqlalchemy.exc import OperationalError

from blocks.arch import parse_arch
from blocks.cost import count
from search.config.change import changed
from search.config.schema import RunConfig
from search.config.storage import Address, check_storage
from search.config.take_over import VARIABLE as TAKE_OVER
from search.data.datasets import load_data
from search.data.splits import ImageData
from search.errors import ConfigError, StudyError
from search.evaluators.train import Evaluation, Job
from search.record.folder import StudyFolder
from search.record.trials import derive_seed
from search.study import database
from search.study.memory import open_study
from tests.conftest import Cli, Refuse
from tests.postgres import PASSWORD, Server, binaries, running
from tests.search.config.test_checks import config_of
from tests.search.study.test_loop import CLASSES, run_loop, what

SECRETS = (PASSWORD, PASSWORD.replace("%40", "@"))


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    if binaries() is None:
        pytest.skip("there is no PostgreSQL here: apt-get install postgresql")
    with running() as found:
        yield found


@pytest.fixture(scope="module")
def digits_data(digits: Path) -> ImageData:
    return load_data(config_of("dataset=npz", f"dataset.root={digits}").dataset, 8)


@pytest.fixture
def config(digits_settings: list[str]) -> RunConfig:
    return config_of(*digits_settings, "sampler=surrogate", "search.trials=5")


@pytest.fixture
def halving(digits_settings: list[str]) -> RunConfig:
    return config_of(
        *digits_settings, "sampler=surrogate", "budget.target=60k", "search.pruner=asha",
        "search.reduction_factor=2", "search.trials=8", "proxy.epochs=2",
    )  # fmt: skip


def test_the_trials_are_the_same_and_the_study_goes_on(
    server: Server, halving: RunConfig, digits_data: ImageData, tmp_path: Path
) -> None:
    _, journal, _ = run_loop(halving, digits_data, tmp_path, Drawn())
    kept = replace(halving, study="kept", storage=server.database())
    for trials in (3, 8):  # the second time its memory is read from the database
        run_loop(changed(kept, {"search.trials": trials}), digits_data, tmp_path, Drawn())
    folder = StudyFolder(str(tmp_path), "kept")
    assert what(folder.trained()) == what(journal.trained())
    assert not (folder / "optuna.journal").exists()
    states = [trial.state for trial in open_study(kept, folder).get_trials()]
    assert states.count(TrialState.PRUNED) + states.count(TrialState.COMPLETE) == 8


class Drawn:
    """Metrics drawn from each network's spelling, at once: what is tested is where they go."""

    def __init__(self) -> None:
        self.jobs: list[Job] = []

    def evaluate(self, job: Job) -> "Future[Evaluation]":
        self.jobs.append(job)
        loss = 1 + derive_seed(0, job.arch) % 1000 / 1000 + 1 / (job.until or job.epochs)
        metrics = {"val_accuracy": 1 / loss, "val_loss": loss, "train_loss": loss}
        future: Future[Evaluation] = Future()
        cost = count(parse_arch(job.arch), CLASSES)
        future.set_result(Evaluation(cost, metrics, {"train": 0.0}))
        return future


class StopsTheServer(Drawn):
    """The trainings; after the third one the server is stopped, and started a while later."""

    server: Server
    timer: threading.Timer

    def evaluate(self, job: Any) -> Any:
        found = super().evaluate(job)
        if len(self.jobs) == 3:
            self.server.stop()
            self.timer = threading.Timer(1.0, self.server.start)
            self.timer.start()
        return found


def test_a_lost_connection_is_waited_for(
    server: Server,
    config: RunConfig,
    digits_data: ImageData,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(database, "FIRST", 0.2)
    caplog.set_level(logging.INFO, "compound_nas")
    _, whole, _ = run_loop(config, digits_data, tmp_path, Drawn())
    cut = replace(config, study="cut", storage=server.database())
    evaluator = StopsTheServer()
    evaluator.server = server
    _, folder, _ = run_loop(cut, digits_data, tmp_path, evaluator)
    evaluator.timer.join()
    assert what(folder.completed()) == what(whole.completed())
    assert TrialState.RUNNING not in [each.state for each in open_study(cut, folder).get_trials()]
    said = [each for each in caplog.messages if "the database" in each]
    assert len(said) == 2
    assert "waiting for it" in said[0]
    assert "answers again, after" in said[1]
    assert not any(secret in caplog.text for secret in SECRETS)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["_create_new_trial", "_set_trial_param", "set_trial_state_values"]
)
def test_an_answer_that_is_lost_is_not_a_second_trial(
    server: Server,
    config: RunConfig,
    digits_data: ImageData,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> None:
    """The database writes, and the connection breaks before it says so."""
    monkeypatch.setattr(database, "FIRST", 0.01)
    short = changed(config, {"search.trials": 3})
    _, whole, _ = run_loop(short, digits_data, tmp_path, Drawn())
    function, calls = getattr(RDBStorage, name), 0

    def loses(*arguments: Any, **options: Any) -> Any:
        nonlocal calls
        found = function(*arguments, **options)
        calls += 1
        if calls % 4 == 2:
            raise OperationalError("INSERT", {}, Exception("the connection is lost"))
        return found

    monkeypatch.setattr(RDBStorage, name, loses)
    cut = changed(config, {"study": "cut", "search.trials": 3, "storage": server.database()})
    _, folder, _ = run_loop(cut, digits_data, tmp_path, Drawn())
    assert calls > 2
    assert what(folder.completed()) == what(whole.completed())
    numbers = [trial.number for trial in open_study(cut, folder).get_trials()]
    assert numbers == list(range(len(numbers)))


@pytest.mark.slow
@pytest.mark.parametrize("halves", [False, True])
def test_a_memory_that_is_gone_is_built_from_the_records(
    server: Server,
    config: RunConfig,
    halving: RunConfig,
    digits_data: ImageData,
    tmp_path: Path,
    halves: bool,
) -> None:
    begun = changed(halving if halves else config, {"storage": server.database()})
    short = changed(begun, {"search.trials": 4})
    _, folder, _ = run_loop(short, digits_data, tmp_path, Drawn())
    before = what(folder.trained())
    moved = changed(begun, {"storage": server.database()})
    _, folder, evaluator = run_loop(moved, digits_data, tmp_path, Drawn())
    assert what(folder.trained())[:4] == before
    assert len(folder.trained()) == begun.search.trials
    assert not {job.arch for job in evaluator.jobs} & {arch for _, arch, *_ in before}
    if not halves:
        _, whole, _ = run_loop(changed(config, {"study": "whole"}), digits_data, tmp_path, Drawn())
        assert what(folder.trained()) == what(whole.trained())


def test_a_study_in_a_database_has_one_folder(
    server: Server,
    config: RunConfig,
    digits_data: ImageData,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kept = changed(config, {"storage": server.database(), "search.trials": 1})
    _, first, _ = run_loop(kept, digits_data, tmp_path / "one", Drawn())
    with pytest.raises(StudyError, match=r"holds a study 'main' of .*one/main; expected") as found:
        run_loop(kept, digits_data, tmp_path / "two", Drawn())
    assert not any(secret in str(found.value) for secret in SECRETS)
    monkeypatch.setenv(TAKE_OVER, "1")
    run_loop(kept, digits_data, tmp_path / "two", Drawn())
    monkeypatch.delenv(TAKE_OVER)
    longer = changed(kept, {"search.trials": 2})
    with pytest.raises(StudyError, match=r"holds a study 'main' of .*two/main"):
        run_loop(longer, digits_data, tmp_path / "one", Drawn())
    assert len(first.trained()) == 1


def test_a_driver_whose_study_was_taken_over_asks_no_more(
    server: Server, config: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = changed(config, {"storage": server.database()})
    folders = [StudyFolder(str(tmp_path / name), "main") for name in ("one", "two")]
    first = open_study(kept, folders[0])
    first.ask()
    monkeypatch.setenv(TAKE_OVER, "1")
    open_study(kept, folders[1])
    with pytest.raises(StudyError, match=r"was taken over by .*two/main"):
        first.ask()


@pytest.mark.slow
def test_no_password_is_shown_or_stored(
    server: Server, digits_settings: list[str], cli: Cli, tmp_path: Path
) -> None:
    """A whole search by the command line, its report and its archive; then it goes on by the
    password of the environment."""
    settings = [*digits_settings, "study=main", "search.trials=2"]
    shown = [cli("search", "run", *settings, f"storage={server.database()}").stdout]
    command = ["search", "run", *settings[:-1], "search.trials=3"]
    shown.append(cli(*command, check=2).stderr)
    assert "storage=postgresql+psycopg://search:***@127.0.0.1" in shown[-1]
    environment = {**os.environ, "PGPASSWORD": SECRETS[1]}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PGPASSWORD", environment["PGPASSWORD"])
        shown.append(cli(*command).stdout)
        assert "3 of 3 trials" in cli("search", "status").stdout
    shown.append(cli("search", "run", *settings, f"storage={server.url()}", "--cfg", "job").stdout)
    assert "search:***@127.0.0.1" in shown[-1]
    cli("search", "archive", "study=main")
    cli("search", "restore", "file=main.tar.gz", "results_dir=other")
    files = [path for path in tmp_path.rglob("*") if path.is_file() and path.suffix != ".gz"]
    assert {"config.yaml", "environment.json"} <= {path.name for path in files}
    held = [str(path) for path in files for secret in SECRETS if secret.encode() in
            path.read_bytes()]  # fmt: skip
    assert held == []
    assert not any(secret in text for secret in SECRETS for text in shown)


def test_what_cannot_be_opened_is_one_line_without_a_password(
    server: Server, digits_settings: list[str], refuse: Refuse, monkeypatch: pytest.MonkeyPatch
) -> None:
    cases = {
        server.url(password="wrong"): "password authentication failed",
        server.url("nowhere"): 'database "nowhere" does not exist',
        server.url().replace(str(server.port), "1"): "refused",
    }
    for url, reason in cases.items():
        said = refuse("search", "run", *digits_settings, f"storage={url}")
        assert said.startswith("error: storage=postgresql+psycopg://search:***@127.0.0.1:")
        assert reason in said.lower()
        assert not any(secret in said for secret in (*SECRETS, "wrong@", ":wrong"))


@pytest.mark.parametrize(
    ("storage", "said"),
    [
        ("postgres", "storage=postgres is unknown; expected journal, postgresql"),
        ("sqlite:///x.db", "storage=sqlite:///x.db is unknown"),
        ("postgresql+psycopg://u:very-secret@h", "u:***@h names no database"),
        ("postgresql+psycopg://u:very-secret@x@h/d", "percent-encoded"),
        ("postgresql+psycopg://u@h/d?password=very-secret", "a password after the ?"),
        ("postgresql+psycopg://u:very-secret@h:x/d", "cannot be read"),
    ],
)
def test_other_storages_are_refused(storage: str, said: str, refuse: Refuse) -> None:
    line = refuse("search", "run", f"storage={storage}")
    assert said in line
    assert "secret" not in line
    with pytest.raises(ConfigError):
        check_storage(storage)


def test_a_mistake_beside_an_address_shows_no_password(refuse: Refuse) -> None:
    for mistake in ("postgresql://u:very-secret@h/d", "storrage=postgresql://u:very-secret@h/d",
                    "storage:postgresql://u:very-secret@h/d?a=b"):  # fmt: skip
        assert "very-secret" not in refuse("search", "run", mistake)
    assert "multirun.yaml" in refuse(
        "search", "run", "-m", "seed=0,1", "storage=postgresql+psycopg://u:very-secret@h/d"
    )


def test_an_address_hides_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    address = Address("mysql+pymysql://u:p%40ss@h:3306/d")
    assert str(address) == repr(address).strip("'") == "mysql+pymysql://u:***@h:3306/d"
    assert address.with_password() == "mysql+pymysql://u:p%40ss@h:3306/d"
    assert address.hide("no p@ss and\n no p%40ss") == "no *** and no ***"
    config = RunConfig(storage="mysql+pymysql://u:p%40ss@h:3306/d")
    assert "p%40ss" not in repr(config)
    monkeypatch.setenv("MYSQL_PWD", "other")
    stored = Address(str(address))
    assert stored.with_password() == "mysql+pymysql://u:other@h:3306/d"
    assert Address("postgresql://u:***@h/d").with_password() == "postgresql://u@h/d"


def test_a_wrong_table_is_no_lost_connection(
    server: Server, config: RunConfig, tmp_path: Path
) -> None:
    kept = changed(config, {"storage": server.database()})
    study = open_study(kept, StudyFolder(str(tmp_path), "main"))
    study.ask()
    plain = str(Address(kept.storage or "").with_password()).replace("+psycopg", "")
    with psycopg.connect(plain, autocommit=True) as connection:
        connection.execute(b"DROP TABLE trial_params CASCADE")
    with pytest.raises(StudyError, match=r"storage=postgresql.*trial_params"):
        study.get_trials()
