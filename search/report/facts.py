"""What a study has on disk, read once for its report. What a step has not written is None or empty.

Nothing here needs torch: a report of a finished study is there in a moment.
"""

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from blocks.errors import DAMAGED, one_line
from blocks.yaml_text import load_yaml
from search.config.quality import Quality
from search.config.schema import RunConfig
from search.errors import StudyError
from search.record.folder import StudyFolder
from search.record.trials import FailureRecord, TrialRecord, read_records
from search.study.objective import Objective

TRAININGS = {
    "search": "trials.jsonl",
    "final round": "final.jsonl",
    "published networks": "reference.jsonl",
    "random networks": "controls.jsonl",
    "fidelity": "fidelity.jsonl",
    "scaling fit": "scaling/runs.jsonl",
    "scaling compare": "scaling/compare.jsonl",
}
"""What networks were trained for → the file that holds their records."""


@contextlib.contextmanager
def readable(*folders: StudyFolder) -> Iterator[None]:
    """What is made of these studies' files: a damaged one is said in a line.

    Raises:
        StudyError: in the place of what a value of another kind leads to.
    """
    try:
        yield
    except DAMAGED as error:
        places = " or ".join(str(folder.path) for folder in folders)
        raise StudyError(
            f"a file in {places} is damaged, or not of this version: {type(error).__name__}: "
            f"{one_line(error)}"
        ) from error


@dataclass
class Facts:
    """A study: its records by file, and the contents of its other files."""

    folder: StudyFolder
    config: RunConfig
    records: dict[str, list[TrialRecord]]
    failures: list[FailureRecord]
    """Of the search."""
    baseline: dict[str, Any]
    references: dict[str, str] = field(default_factory=dict)
    """Spelling → name of the published networks, as they were made to fit."""

    @classmethod
    def read(cls, folder: StudyFolder) -> "Facts":
        """All of a study but what only some sections show.

        Raises:
            StudyError: there is no study, or a file is damaged.
        """
        folder.require()
        config = folder.read_config()
        records: dict[str, list[TrialRecord]] = {}
        failures: list[FailureRecord] = []
        for what, name in TRAININGS.items():
            found = read_records(folder / name)
            records[what] = [each for each in found if isinstance(each, TrialRecord)]
            if what == "search":
                failures = [each for each in found if isinstance(each, FailureRecord)]
        made = read_yaml(folder / "references.yaml")
        try:
            references = {str(each["arch"]): str(name) for name, each in made.items()}
        except (KeyError, TypeError) as error:
            raise _damaged(folder / "references.yaml", error) from None
        return cls(folder, config, records, failures, read_yaml(folder / "b0.yaml"), references)

    @property
    def measure(self) -> tuple[str, str]:
        """What trained networks are judged by: its name in files, and in words."""
        return ("map", "mAP") if self.config.several else ("accuracy", "accuracy")

    @cached_property
    def objective(self) -> Objective:
        """What the search steered by."""
        return Objective.of(self.config)

    @property
    def quality(self) -> Quality:
        """What networks are judged by."""
        return self.config.quality

    @cached_property
    def trained(self) -> list[TrialRecord]:
        """The candidates that were trained, for however long, by number."""
        return sorted(self.records["search"], key=lambda record: record.number)

    @cached_property
    def completed(self) -> list[TrialRecord]:
        """Those that compare: judged by the study's metric after the whole schedule."""
        return [
            record
            for record in self.trained
            if not record.stopped and self.quality.val in record.metrics
        ]

    @cached_property
    def best(self) -> TrialRecord | None:
        """The best candidate so far, by the study's objective."""
        try:
            return self.objective.best(self.completed) if self.completed else None
        except StudyError:  # recorded before the metric of the objective was
            return max(self.completed, key=lambda record: self.quality.of(record.metrics))

    @property
    def chosen(self) -> bool:
        """Whether there is a B0."""
        return bool(self.baseline)

    @property
    def num_classes(self) -> int:
        """Of the images; 10 before any file says it, which only the last layer's cost shows."""
        return int(self.baseline.get("num_classes", 10))

    @cached_property
    def trained_members(self) -> dict[str, dict[str, Any]]:
        """Name → model.yaml of what `scaling train` trained, by cost."""
        found = {
            path.parent.name: read_yaml(path)
            for path in sorted((self.folder / "trained").glob("*/model.yaml"))
        }
        return dict(sorted(found.items(), key=lambda each: (_macs(each[1]), each[0])))


def _macs(content: dict[str, Any]) -> float:
    cost = content.get("cost")
    return float(cost.get("macs", 0)) if isinstance(cost, dict) else 0.0


def read_yaml(path: Path) -> dict[str, Any]:
    """A mapping; empty where there is no file.

    Raises:
        StudyError: it is damaged.
    """
    if not path.is_file():
        return {}
    try:
        content = load_yaml(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, *DAMAGED) as error:
        raise _damaged(path, error) from None
    if not isinstance(content, dict):
        raise StudyError(f"{path} is damaged: it is not a mapping")
    return content


def read_json(path: Path) -> dict[str, Any]:
    """A mapping; empty where there is no file.

    Raises:
        StudyError: it is damaged.
    """
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except DAMAGED as error:
        raise _damaged(path, error) from None
    if not isinstance(content, dict):
        raise StudyError(f"{path} is damaged: it is not a mapping")
    return content


def read_table(path: Path) -> pd.DataFrame:
    """A CSV file; empty where there is none.

    Raises:
        StudyError: it is damaged.
    """
    if not path.is_file():
        return pd.DataFrame()
    try:
        return pd.read_csv(path)
    except pd.errors.EmptyDataError:
        return pd.DataFrame()
    except DAMAGED as error:
        raise _damaged(path, error) from None


def _damaged(path: Path, error: Exception) -> StudyError:
    return StudyError(f"{path} is damaged: {one_line(error)}")
