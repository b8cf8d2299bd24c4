"""The sampler's memory in a database: a lost connection is waited for, and nobody else drives it.

Optuna writes each proposal, value and outcome by itself, so a lost answer may be of something that
was written. One process alone drives a study (`search.record.lock`), so a second try looks first.
"""

import json
import secrets
import socket
import time
import weakref
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

import optuna
from optuna.distributions import BaseDistribution
from optuna.exceptions import StorageInternalError, UpdateFinishedTrialError
from optuna.storages import BaseStorage, RDBStorage, get_storage
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.exc import (
    DBAPIError,
    IntegrityError,
    InterfaceError,
    OperationalError,
    SQLAlchemyError,
    TimeoutError,
)

from blocks.console import duration
from blocks.errors import DAMAGED
from blocks.messages import say
from search.config.storage import Address
from search.errors import StudyError
from search.evaluators.process import check_interrupt
from search.record.folder import TOKEN, StudyFolder

FIRST: Final = 1.0
"""Seconds before a second try; twice as long before each further one."""
LONGEST: Final = 60.0
CONNECT_SECONDS: Final = 10
SILENT_MS: Final = 30_000
"""Of a connection that nobody answers on, before it is lost."""
MARK: Final = "compound_nas"
"""User attribute of an Optuna study: whose memory it is."""
_TRY: Final = 0.2
_MYSQL_LOST: Final = {1040, 1053, 1205, 1213, 2002, 2003, 2006, 2013, 2055}
"""Codes of MySQL: too many connections, a shutdown, locks, no connection or a lost one."""
_Found = TypeVar("_Found")


def connect(address: Address, meanwhile: Callable[[], None] = lambda: None) -> "PatientStorage":
    """Optuna's storage in a database, its tables made; connections end with it.

    Raises:
        StudyError: nobody answers, a wrong password, tables of another version of Optuna.
    """
    url = address.with_password()
    try:
        plain = RDBStorage(url, engine_kwargs=_options(address))
    except (SQLAlchemyError, StorageInternalError, RuntimeError, ImportError, *DAMAGED) as error:
        said = address.hide(str(_cause(error)))
        raise StudyError(f"storage={address} cannot be opened: {_short(said)}") from None
    storage = PatientStorage(get_storage(plain), address, meanwhile)
    weakref.finalize(storage, plain.engine.dispose)
    return storage


def _options(address: Address) -> dict[str, Any]:
    """For SQLAlchemy: a connection that is dead is seen to be."""
    given: dict[str, Any] = {"connect_timeout": CONNECT_SECONDS}
    if address.startswith("postgresql"):
        given |= {
            "keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3,
            "tcp_user_timeout": SILENT_MS, "application_name": "compound-nas",
        }  # fmt: skip
    else:
        given["read_timeout"] = SILENT_MS // 1000
    return {"pool_pre_ping": True, "connect_args": given}


def claim(study: optuna.Study, folder: StudyFolder, address: Address, take_over: bool) -> str:
    """Mark a study of the database as this folder's; the mark.

    Raises:
        StudyError: it is another folder's.
    """
    own = folder.token
    mark = study.user_attrs.get(MARK)
    other = mark.get("folder") if isinstance(mark, dict) else None
    theirs = mark.get("token") if isinstance(mark, dict) else None
    fresh = mark is None and not study.get_trials(deepcopy=False)
    if not fresh and (theirs is None or theirs != own) and not take_over:
        whose = f"of {other}" if other else "that no search of this toolkit made"
        raise StudyError(
            f"{address} holds a study {study.study_name!r} {whose}; expected another study=NAME, "
            "or --take-over to go on with it here and nowhere else"
        )
    if theirs is None or theirs != own:
        own = secrets.token_hex(8)
        folder.write(TOKEN, own + "\n")
        where = f"{socket.gethostname()}:{folder.path.resolve()}"
        study.set_user_attr(MARK, {"token": own, "folder": where})
    return own


def forget(address: Address, name: str, token: str) -> None:
    """Delete a folder's study in a database.

    Raises:
        StudyError: nobody answers, it is not there, or it is another folder's.
    """
    storage = connect(address)
    try:
        number = storage.get_study_id_from_name(name)
    except KeyError:
        raise StudyError("there is no such study") from None
    mark = storage.get_study_user_attrs(number).get(MARK)
    if not isinstance(mark, dict) or not token or mark.get("token") != token:
        raise StudyError("it is another folder's")
    storage.delete_study(number)


def _call(name: str) -> Callable[..., Any]:
    def call(self: "PatientStorage", *arguments: Any, **options: Any) -> Any:
        return self.patiently(lambda: getattr(self.inner, name)(*arguments, **options))

    return call


class PatientStorage(BaseStorage):
    """A storage of which every call waits until the database answers.

    `meanwhile` is called as long as it does not. `token` is the study's mark, without which it was
    taken over.
    """

    def __init__(
        self, inner: BaseStorage, address: Address, meanwhile: Callable[[], None] = lambda: None
    ) -> None:
        self.inner = inner
        self.address = address
        self.meanwhile = meanwhile
        self.token: str | None = None

    create_new_study = _call("create_new_study")
    delete_study = _call("delete_study")
    set_study_user_attr = _call("set_study_user_attr")
    set_study_system_attr = _call("set_study_system_attr")
    get_study_id_from_name = _call("get_study_id_from_name")
    get_study_name_from_id = _call("get_study_name_from_id")
    get_study_directions = _call("get_study_directions")
    get_study_user_attrs = _call("get_study_user_attrs")
    get_study_system_attrs = _call("get_study_system_attrs")
    get_all_studies = _call("get_all_studies")
    get_trial_id_from_study_id_trial_number = _call("get_trial_id_from_study_id_trial_number")
    get_trial_number_from_id = _call("get_trial_number_from_id")
    set_trial_intermediate_value = _call("set_trial_intermediate_value")
    set_trial_user_attr = _call("set_trial_user_attr")
    set_trial_system_attr = _call("set_trial_system_attr")
    get_trial = _call("get_trial")
    get_all_trials = _call("get_all_trials")
    get_n_trials = _call("get_n_trials")
    remove_session = _call("remove_session")

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        """A trial more, and never two for one answer that was lost."""
        self._still_ours(study_id)
        before = self.get_n_trials(study_id)

        def create() -> int:
            return self.inner.create_new_trial(study_id, template_trial)

        def again() -> int:
            trials = self.inner.get_all_trials(study_id, deepcopy=False)
            made = [trial._trial_id for trial in trials if trial.number == before]
            return made[0] if made else create()

        return self.patiently(create, again)

    def set_trial_param(
        self,
        trial_id: int,
        param_name: str,
        param_value_internal: float,
        distribution: BaseDistribution,
    ) -> None:
        """A parameter, unless the first try has written it."""

        def write() -> None:
            self.inner.set_trial_param(trial_id, param_name, param_value_internal, distribution)

        def again() -> None:
            if param_name not in self.inner.get_trial(trial_id).params:
                write()

        self.patiently(write, again)

    def set_trial_state_values(
        self, trial_id: int, state: TrialState, values: Sequence[float] | None = None
    ) -> bool:
        """A state, unless the first try has written it."""

        def write() -> bool:
            return self.inner.set_trial_state_values(trial_id, state, values)

        def again() -> bool:
            return self.inner.get_trial(trial_id).state == state or write()

        return self.patiently(write, again)

    def patiently(
        self, call: Callable[[], _Found], again: Callable[[], _Found] | None = None
    ) -> _Found:
        """What `call` returns; after a lost connection what `again` does, or `call` itself.

        Raises:
            StudyError: the database refuses for another reason.
            KeyboardInterrupt: somebody asked to stop meanwhile.
        """
        lost_at, wait, attempt = None, FIRST, call
        while True:
            try:
                found = attempt()
            except KeyError:
                if self.token is None:
                    raise
                raise StudyError(
                    f"the study in {self.address} was deleted; the same command builds it anew "
                    "from what is on disk"
                ) from None
            except (UpdateFinishedTrialError, optuna.exceptions.DuplicatedStudyError):
                raise
            except (SQLAlchemyError, StorageInternalError) as error:
                said = _short(self.address.hide(str(_cause(error))))
                if not _is_lost(error):
                    raise StudyError(f"storage={self.address}: {said}") from None
                if lost_at is None:
                    lost_at = time.monotonic()
                    say(
                        f"the database does not answer ({said}); waiting for it, while the "
                        "trainings in progress go on; Ctrl-C stops"
                    )
                attempt = again or call
                self._sleep(wait)
                wait = min(2 * wait, LONGEST)
                continue
            if lost_at is not None:
                waited = duration(time.monotonic() - lost_at)
                say(f"the database answers again, after {waited}; the search goes on")
            return found

    def _sleep(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            check_interrupt()
            self.meanwhile()
            time.sleep(_TRY)

    def _still_ours(self, study_id: int) -> None:
        if self.token is None:
            return
        mark = self.get_study_user_attrs(study_id).get(MARK)
        if not isinstance(mark, dict) or mark.get("token") != self.token:
            other = mark.get("folder") if isinstance(mark, dict) else json.dumps(mark)
            raise StudyError(
                f"the study in {self.address} was taken over by {other}; this search ends, and "
                "what it wrote until then is on disk"
            )


def _cause(error: BaseException) -> BaseException:
    """What Optuna's error is about, and of SQLAlchemy's what the driver said."""
    if isinstance(error, StorageInternalError) and error.__cause__ is not None:
        error = error.__cause__
    return error.orig if isinstance(error, DBAPIError) and error.orig is not None else error


def _is_lost(error: BaseException) -> bool:
    if isinstance(error, StorageInternalError) and error.__cause__ is not None:
        error = error.__cause__
    if isinstance(error, IntegrityError):
        return False
    if isinstance(error, DBAPIError) and isinstance(error.orig, Exception):
        code = error.orig.args[0] if error.orig.args else None
        if isinstance(code, int):  # MySQL's, whose drivers call any refusal operational
            return code in _MYSQL_LOST
    return isinstance(error, OperationalError | InterfaceError | TimeoutError) or (
        isinstance(error, DBAPIError) and error.connection_invalidated
    )


def _short(text: str) -> str:
    return text if len(text) < 300 else text[:300] + " …"
