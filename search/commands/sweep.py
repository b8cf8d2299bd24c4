"""`python -m search run -m`: every combination of the swept settings, a study each."""

import importlib.util
import re
import shlex
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import hydra
from hydra._internal.hydra import Hydra
from hydra._internal.utils import create_config_search_path
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from omegaconf import DictConfig
from rich.table import Table

from blocks import messages
from blocks.console import complain, console, millions
from blocks.errors import CompoundNasError, one_line
from search.commands.job import run_job
from search.config.compose import compose_config, expand_sweep, to_object
from search.config.options import CONF
from search.config.schema import RunConfig
from search.config.storage import Address
from search.errors import ConfigError
from search.pareto import hypervolume
from search.record.folder import StudyFolder

EXTRAS: Final = {"joblib": ("hydra_plugins.hydra_joblib_launcher", "distributed")}
"""Launchers that an optional extra of this package brings: their module, the extra."""


@dataclass(frozen=True)
class Job:
    """One combination: its swept settings, all settings, and the name of the whole sweep."""

    swept: tuple[str, ...]
    config: RunConfig
    whole: str

    @property
    def folder(self) -> StudyFolder:
        """Its study's."""
        return StudyFolder(self.config.results_dir, self.config.study)


def compose_job(lines: Sequence[str]) -> RunConfig:
    """The settings of one job, Hydra's own set aside."""
    plain = [line for line in lines if not line.lstrip("+~").startswith("hydra")]
    config: RunConfig = compose_config("config", plain, RunConfig)
    return config


def check_launcher(lines: Sequence[str]) -> None:
    """Refuse a launcher whose extra is not installed.

    Raises:
        ConfigError: names the extra.
    """
    for line in lines:
        name, _, value = line.lstrip("+").partition("=")
        if name != "hydra/launcher" or value not in EXTRAS:
            continue
        module, extra = EXTRAS[value]
        try:
            found = importlib.util.find_spec(module)
        except ModuleNotFoundError:
            found = None
        if found is None:
            raise ConfigError(
                f"{line} needs an optional package; install it with: "
                f'pip install "compound-nas[{extra}]"'
            )


def sweep(lines: Sequence[str], config_dir: str | None = None) -> None:
    """Run every combination, whatever becomes of the others; print a table of all.

    `config_dir` is a folder of Hydra's own settings, such as of launchers.

    Raises:
        ConfigError: before the first job: settings that no search could run with, two jobs of one
            folder; after the last: some have failed.
    """
    combinations, fixed = expand_sweep(lines)
    apart = {*fixed, "study"}
    jobs = [_job(combination, apart) for combination in combinations]
    from search.study.settle import check_settings  # torch and Optuna

    for job in jobs:
        check_settings(job.config)
        storage = job.config.storage
        if isinstance(storage, Address) and storage.has_password:
            raise ConfigError(
                f"storage={storage} has a password, which Hydra would write to multirun.yaml; "
                "expected it in PGPASSWORD or MYSQL_PWD"
            )
    _refuse_shared_folders(jobs)
    excluded = f"hydra.job.config.override_dirname.exclude_keys=[{','.join(sorted(apart))}]"
    failures = _launch([*lines, excluded], config_dir)
    _summarise(jobs, failures)
    if failures:
        raise ConfigError(
            f"{len(failures)} of {len(jobs)} studies of this sweep failed: "
            f"{', '.join(failures)}; the same command goes on with them"
        )


def job_study(study: str, swept: str) -> str:
    """The study of one job: the sweep's name and the swept settings, as `sampler-tpe_seed-1`."""
    if not swept:
        return study
    return re.sub(r"[^\w.+=,-]+", "-", f"{study}_{swept}".replace("'", ""), flags=re.ASCII)


def launched(settings: DictConfig) -> tuple[str, str] | None:
    """One job, in whichever process a launcher runs it: its study and why it failed, if it did."""
    config = to_object(settings)
    study = job_study(config.study, HydraConfig.get().job.override_dirname)
    messages.show()  # in a launcher's own process too
    console.rule(study)
    try:
        code = run_job(replace(config, study=study))
        return (study, f"the scaling after it ended with exit code {code}") if code else None
    except (CompoundNasError, OSError) as error:
        reason = one_line(error)
    except Exception as error:  # of ours: nothing is lost, and the other jobs run
        traceback.print_exc()
        reason = f"{type(error).__name__}: {one_line(error)}"
    complain(f"{study}: {reason}")
    return study, reason


def _job(lines: Sequence[str], apart: set[str]) -> Job:
    config = compose_job(lines)
    swept = sorted(line for line in lines if line.partition("=")[0] not in apart)
    return Job(
        tuple(swept),
        replace(config, study=job_study(config.study, "_".join(swept).replace("=", "-"))),
        config.study,
    )


def _refuse_shared_folders(jobs: Sequence[Job]) -> None:
    seen: dict[Path, Job] = {}
    for job in jobs:
        path = job.folder.path
        if path in seen:
            both = " and ".join(shlex.join(each.swept) for each in (seen[path], job))
            raise ConfigError(
                f"two jobs of this sweep would share the folder {path}: {both}; give each other "
                "values, or run them apart with study=…"
            )
        seen[path] = job


def _launch(lines: Sequence[str], config_dir: str | None) -> dict[str, str]:
    """Have Hydra's launcher run all jobs; why each that failed did, by its study."""
    hydra.version.setbase("1.3")
    search_path = create_config_search_path(str(CONF))
    if config_dir is not None:
        search_path.append("command-line", f"file://{Path(config_dir).resolve()}")
    try:
        made = Hydra.create_main_hydra2("search", search_path)
        batches: Any = made.multirun("config", launched, list(lines), with_log_configuration=False)
    except HydraException as error:
        raise ConfigError(one_line(error)) from None
    finally:
        GlobalHydra.instance().clear()
    ended = [job.return_value for batch in batches for job in batch]
    return dict(each for each in ended if each is not None)


def _summarise(jobs: Sequence[Job], failures: dict[str, str]) -> None:
    """Print a table of the studies; write the front of all of them."""
    from search.study.front import write_sweep_front

    table = Table(title="All studies of this sweep", title_justify="left")
    judged = {job.config.quality.words for job in jobs}
    words = judged.pop() if len(judged) == 1 else "search.metric"
    headings = ["study", "trials", f"best val {words}", "hypervolume", f"B0 val {words}", "B0 macs"]
    if failures:
        headings.append("failed")
    for name in headings:
        left = name in ("study", "failed")
        table.add_column(name, justify="left" if left else "right", overflow="fold")
    for job in jobs:
        table.add_row(*_row(job), *([failures.get(job.config.study, "")] if failures else []))
    console.print(table)
    folders = [job.folder for job in jobs if job.folder.completed()]
    if folders:
        last = jobs[-1]
        whole = StudyFolder(str(Path(last.config.results_dir, "sweeps")), last.whole)
        front = write_sweep_front(folders, whole)
        console.print(
            f"the front of all: {front['on_front'].sum()} of {len(front)} candidates, in "
            f"{whole / 'front.csv'} and front.png"
        )
    if len(folders) > 1:
        _compare(folders, whole)


def _compare(folders: Sequence[StudyFolder], whole: StudyFolder) -> None:
    """The studies side by side as a page; the sweep is done either way."""
    from search.report.compare import compare_studies
    from search.report.paper import Paper

    try:
        for path in compare_studies(folders, whole.path, Paper(), []):
            console.print(f"side by side: {path}")
    except Exception as error:  # what was found is on disk
        console.print(f"no comparison: {type(error).__name__}: {one_line(error)}")


def _row(job: Job) -> tuple[str, ...]:
    from search.space.budget import budget_macs
    from search.study.objective import Objective

    config, records = job.config, job.folder.completed()
    if not records:
        return config.study, "0", "", "", "", ""
    chosen = Objective.of(config).best(records)
    accuracy = [config.quality.of(record.metrics) for record in records]
    macs = [record.cost.macs for record in records]
    # The share of the box from accuracy 0 to 1 and from no macs to the budget.
    most = budget_macs(config) or max(macs)
    volume = hypervolume(accuracy, macs, 0.0, most) / most
    return (
        config.study,
        str(len(records)),
        f"{max(accuracy):.4f}",
        # At a target they all cost the same.
        "" if config.target is not None else f"{volume:.4f}",
        f"{config.quality.of(chosen.metrics):.4f}",
        millions(chosen.cost.macs),
    )
