"""The sampler's memory: the Optuna study behind a folder, its pruner, and the pruner's rungs."""

import os
from collections.abc import Callable

import optuna
from optuna.pruners import BasePruner, HyperbandPruner, NopPruner, SuccessiveHalvingPruner
from optuna.storages import BaseStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend

from blocks.errors import DAMAGED, one_line
from search.config.schema import RunConfig
from search.config.storage import JOURNAL, Address
from search.config.take_over import takes_over
from search.errors import StudyError
from search.record.folder import StudyFolder
from search.record.trials import cut_torn_line
from search.study.objective import Objective


def rungs(config: RunConfig) -> tuple[int, ...]:
    """Epochs after which a training may be stopped, and the last, at which it is complete."""
    last = config.trial_epochs
    if config.pruner == "none":
        return (last,)
    found = [config.min_epochs]
    while found[-1] * config.search.reduction_factor < last:
        found.append(found[-1] * config.search.reduction_factor)
    return (*found, last)


def build_pruner(config: RunConfig) -> BasePruner:
    """The pruner of a study: successive halving, asynchronous, or Hyperband's brackets of it."""
    least, factor = config.min_epochs, config.search.reduction_factor
    if config.pruner == "asha":
        return SuccessiveHalvingPruner(min_resource=least, reduction_factor=factor)
    if config.pruner == "hyperband":
        return HyperbandPruner(
            min_resource=least, max_resource=config.proxy.whole_epochs, reduction_factor=factor
        )
    return NopPruner()


def open_study(
    config: RunConfig, folder: StudyFolder, meanwhile: Callable[[], None] = lambda: None
) -> optuna.Study:
    """The Optuna study behind a folder, made or resumed; the caller holds the study's lock.

    `meanwhile` is called again and again while a database does not answer.

    Raises:
        StudyError: the journal or the database cannot be read.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    if config.storage in (None, JOURNAL):
        return _in_journal(config, folder)
    from search.study.database import claim, connect  # SQLAlchemy

    address = Address(config.storage)
    storage = connect(address, meanwhile)
    study = _create(config, storage)
    storage.token = claim(study, folder, address, takes_over())
    # Of before it moved there. Should it move back, its memory is built from the records.
    (folder / "optuna.journal").unlink(missing_ok=True)
    return study


def _create(config: RunConfig, storage: BaseStorage) -> optuna.Study:
    return optuna.create_study(
        storage=storage,
        study_name=config.study,
        directions=Objective.of(config).directions,
        pruner=build_pruner(config),
        load_if_exists=True,
    )


def _in_journal(config: RunConfig, folder: StudyFolder) -> optuna.Study:
    journal = folder / "optuna.journal"
    cut_torn_line(journal)
    # A process killed while it wrote leaves Optuna's own lock behind; ours says nobody is here.
    for stale in folder.path.glob("optuna.journal.lock*"):
        os.unlink(stale)
    try:
        return _create(config, JournalStorage(JournalFileBackend(str(journal))))
    except (AssertionError, *DAMAGED) as error:  # Optuna's, of a line of another kind
        raise StudyError(f"{journal} is damaged: {one_line(error)}") from None
