"""A study: one search, what it was about, and what it has found so far.

To run one, with its lock held, its images loaded and its settings in force:

    with Study.open(config) as study:
        study.config, study.data, study.members, study.objective

To read one:

    study = Study.load("results/main")
    study.front()
"""

import html
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from search.config.places import Where
from search.config.schema import RunConfig
from search.config.settled import SettledConfig
from search.data.datasets import load_data
from search.data.splits import ImageData
from search.errors import StudyError
from search.record.folder import StudyFolder, StudyLock
from search.record.trials import FailureRecord, Record, TrialRecord, read_records
from search.space.budget import cost_budget, front_metric
from search.space.latency_budget import table_sha256
from search.space.members import SpaceCandidates
from search.study.baseline import Baseline, read_baseline
from search.study.family import Coefficients, read_coefficients, read_family
from search.study.front import front_table
from search.study.images import check_data
from search.study.objective import Objective
from search.study.settle import (
    check_settings,
    decide,
    members_of,
    open_members,
    settled_as_stored,
)
from search.study.start import read_start


class Study:
    """A study's folder, to read. Nothing of the search changes, and it may be running there."""

    def __init__(self, folder: StudyFolder) -> None:
        self.folder = folder

    @classmethod
    def load(cls, path: str | Path) -> "Study":
        """The study in a folder such as `results/main`.

        Raises:
            StudyError: there is no study, it is damaged, or of a newer version of the toolkit.
        """
        path = Path(path).expanduser().absolute()
        study = cls(StudyFolder(str(path.parent), path.name).require())
        _ = study.config, study.records  # so that what is damaged is said here
        return study

    @classmethod
    @contextmanager
    def open(cls, config: RunConfig, searching: bool = True) -> Iterator["OpenStudy"]:
        """Make a study, or go on with it; nobody else can until the context ends.

        Without `searching` a study that exists keeps its settings as they were.

        Raises:
            ConfigError, DataError, StudyError: settings that cannot be, images that cannot be
                read, a folder of other settings or images, or one that is in use.
        """
        check_settings(config)
        started = time.perf_counter()
        data, members = open_members(config)
        spent = time.perf_counter() - started
        folder = StudyFolder(config.results_dir, config.study)
        with StudyLock(folder):
            settled = decide(config, data, members, folder)
            # Before the study is bound to settings that name what does not exist.
            start = read_start(settled, folder, members) if searching else []
            folder.open(settled, renew=searching)
            check_data(folder, data, table_sha256(members.budget))
            yield OpenStudy(folder, settled, data, members, start, spent)

    @classmethod
    @contextmanager
    def reopen(
        cls,
        results_dir: str,
        study: str,
        config: RunConfig | None = None,
        needs_baseline: bool = True,
    ) -> Iterator["OpenStudy"]:
        """Open a study that exists as it was, to train more beside its trials.

        `config` is instead of the stored one where something that steers no trial has changed.

        Raises:
            StudyError: there is none, it has no B0 yet, its images are others, or it is in use.
        """
        folder = StudyFolder(results_dir, study).require()
        settled = settled_as_stored(config or folder.read_config())
        if needs_baseline:
            read_baseline(folder)  # before images are read for nothing
        started = time.perf_counter()
        data = load_data(settled.dataset, settled.proxy.size, settled.several)
        spent = time.perf_counter() - started
        found = OpenStudy(folder, settled, data, None, [], spent)
        if needs_baseline:
            _ = found.baseline
        with StudyLock(folder):
            check_data(folder, data)
            yield found

    @property
    def name(self) -> str:
        """Its name, which is that of its folder."""
        return self.folder.study

    @property
    def path(self) -> Path:
        """Its folder."""
        return self.folder.path

    @cached_property
    def config(self) -> RunConfig:
        """The settings that it was made with."""
        return self.folder.read_config()

    @cached_property
    def objective(self) -> Objective:
        """What is better."""
        return Objective.of(self.config)

    @property
    def records(self) -> list[Record]:
        """What trials.jsonl holds, in the order in which trainings ended."""
        return read_records(self.folder.trials)

    def trials(self) -> pd.DataFrame:
        """A row per trained candidate: its number, spelling, metrics, cost, epochs, seconds.

        `stopped` says whether a pruner ended the training early; then its metrics are those
        after `epochs`.
        """
        rows = [
            {
                "trial": record.number,
                **record.metrics,
                **asdict(record.cost),
                "epochs": record.fidelity["epochs"],
                "stopped": record.stopped,
                "seed": record.seed,
                "seconds": sum(record.seconds.values()),
                "arch": record.arch,
            }
            for record in self.folder.trained()
        ]
        return pd.DataFrame(rows)

    def failures(self) -> pd.DataFrame:
        """A row per candidate whose training failed: trial, kind, error, arch."""
        failed = [record for record in self.records if isinstance(record, FailureRecord)]
        rows = [(each.number, each.kind, each.error, each.arch) for each in failed]
        return pd.DataFrame(rows, columns=["trial", "kind", "error", "arch"])

    def front(self) -> pd.DataFrame:
        """The Pareto front of validation accuracy (or what else `search.metric` is) and macs, or
        parameters where the budget gives all the same macs; the cheapest first.

        Raises:
            StudyError: nothing was trained to the end yet.
        """
        records = self.folder.completed()
        if not records:
            raise StudyError(f"{self.path} has no completed trial yet")
        table = front_table(records, self.objective, front_metric(self.config))
        return table[table["on_front"]].drop(columns="on_front").reset_index(drop=True)

    @property
    def best(self) -> TrialRecord | None:
        """The best candidate so far by the study's objective; None before the first."""
        records = self.folder.completed()
        return self.objective.best(records) if records else None

    @property
    def baseline(self) -> Baseline:
        """The chosen B0.

        Raises:
            StudyError: it is not chosen yet, or b0.yaml is damaged.
        """
        return read_baseline(self.folder)

    @property
    def coefficients(self) -> Coefficients:
        """α, β, γ.

        Raises:
            StudyError: nothing is fitted yet.
        """
        return read_coefficients(self.folder)

    def family(self) -> pd.DataFrame:
        """A row per member of the family.

        Raises:
            StudyError: there is no family yet.
        """
        return read_family(self.folder)

    def report(self) -> Path:
        """Write report.html, a page that shows all of it; needs the extra `report`.

        Raises:
            StudyError: plotly or jinja2 is not installed, or a file is damaged.
        """
        from search.report.page import write_report

        return write_report(self.folder)

    @property
    def written(self) -> list[str]:
        """Which steps have left their files."""
        return self.folder.written

    def _facts(self) -> dict[str, str]:
        config, best = self.config, self.best
        trained = self.folder.trained()
        facts = {
            "folder": str(self.path),
            "images": f"{config.dataset.name} at {config.proxy.size} px",
            "trials": f"{len(trained)} of {config.search.trials}",
            "search": f"sampler {config.sampler}, objective {config.steered_by}, "
            f"budget {cost_budget(config)}",
        }
        if best is not None:
            facts["best"] = f"{self.objective.describe(best)}, macs {best.cost.macs:,}: {best.arch}"
        facts["written"] = ", ".join(self.written) or "nothing yet"
        return facts

    def __repr__(self) -> str:
        rows = "\n".join(f"  {name:8} {value}" for name, value in self._facts().items())
        return f"Study {self.name}\n{rows}"

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><th style='text-align:left'>{html.escape(name)}</th>"
            f"<td style='text-align:left'>{html.escape(value)}</td></tr>"
            for name, value in self._facts().items()
        )
        return f"<table><caption>Study {html.escape(self.name)}</caption>{rows}</table>"


class OpenStudy(Study):
    """A study that is being run, or added to, by this process.

    `config` is what is in force, `start` the combinations that the search evaluates first.
    """

    def __init__(
        self,
        folder: StudyFolder,
        config: SettledConfig,
        data: ImageData,
        members: SpaceCandidates | None,
        start: list[dict[str, Any]],
        opening_seconds: float,
    ) -> None:
        super().__init__(folder)
        self._settled = config
        self.data = data
        self._members = members
        self.start = start
        self.opening_seconds = opening_seconds

    @property
    def config(self) -> SettledConfig:
        """The settings in force."""
        return self._settled

    @property
    def where(self) -> Where:
        """Where trainings run; what workers exchange lies in this folder, wherever that is now."""
        return replace(self.config.where, folder=self.folder / "workers")

    @property
    def members(self) -> SpaceCandidates:
        """The members of the space within the budget."""
        if self._members is None:
            self._members = members_of(self._settled, self.data)
        return self._members

    @property
    def baseline(self) -> Baseline:
        """The chosen B0, which these images must fit.

        Raises:
            StudyError: it is not chosen yet, damaged, or of another number of classes.
        """
        found = read_baseline(self.folder)
        if found.num_classes != self.data.num_classes:
            raise StudyError(
                f"{self.folder / 'b0.yaml'} has {found.num_classes} classes, the data "
                f"{self.data.num_classes}"
            )
        return found
