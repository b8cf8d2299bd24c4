"""A study's folder: named files, written whole or not at all."""

import os
import platform
import shlex
import sys
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import yaml

from blocks.errors import DAMAGED, one_line
from blocks.files import write_durably
from blocks.machine import processor, versions
from blocks.names import did_you_mean
from blocks.passwords import without_passwords
from blocks.yaml_text import load_yaml
from search.config.build import build
from search.config.schema import RunConfig, bare_config
from search.config.steering import steers
from search.errors import ConfigError, StudyError, UnknownSettingError
from search.record.lock import StudyLock as StudyLock
from search.record.trials import TrialRecord, read_records


def environment() -> dict[str, Any]:
    """The machine and software behind a study's numbers."""
    import torch

    return {
        "command": without_passwords(" ".join(sys.argv)),
        "versions": versions(),
        "platform": platform.platform(),
        "processor": processor(),
        "cores": os.cpu_count(),
        "cuda": torch.version.cuda if torch.cuda.is_available() else None,
    }


_BEFORE: Final = {
    "proxy.start_resolution": 1.0, "proxy.precision": "fp32", "workers.device": "cpu",
    "search.finalists": 1, "search.final_seeds": 1,
}  # fmt: skip
"""How studies trained before these were settings; today's defaults are others."""


def _rename_reference(stored: dict[str, Any]) -> None:
    """`search.reference`, of which there was one, as the list that it has become."""
    search = stored.get("search")
    if isinstance(search, dict) and "reference" in search:
        name = search.pop("reference")
        search.setdefault("references", [] if name is None else [name])


TOKEN: Final = ".storage"
"""In a study's folder: what its study in a database is marked with; of this folder alone."""
STEPS: Final = ("b0.yaml", "scaling/fit.json", "coefficients.yaml", "family/b7.yaml")
"""What a study writes, step by step."""


class StudyFolder:
    """`results_dir/study`: named files, written whole or not at all."""

    def __init__(self, results_dir: str, study: str) -> None:
        self.study = study
        self.path = Path(results_dir).expanduser() / study
        self.lock: StudyLock | None = None
        """What this process holds of it."""

    def __truediv__(self, name: str) -> Path:
        return self.path / name

    @property
    def token(self) -> str:
        """What its study in a database is marked with; empty where it has none."""
        path = self / TOKEN
        return path.read_text(encoding="utf-8").strip() if path.exists() else ""

    def check_held(self) -> None:
        """That nobody has taken over what this process holds of it.

        Raises:
            StudyError: somebody has.
        """
        if self.lock is not None:
            self.lock.check()

    @property
    def trials(self) -> Path:
        """One JSON line per trained candidate."""
        return self.path / "trials.jsonl"

    def inside(self) -> "StudyFolder":
        """This folder, if it is one of `results_dir`, and no other that a name or a link leads to.

        Raises:
            StudyError: it is not.
        """
        if self.study in ("", ".", "..") or Path(self.study).name != self.study:
            raise StudyError(f"study={self.study} is not a folder name, but leads elsewhere")
        home = self.path.parent.resolve()
        if self.path.is_symlink() and not self.path.resolve().is_relative_to(home):
            raise StudyError(
                f"{self.path} is a link to {self.path.resolve()}, out of {home}; expected "
                f"results_dir={self.path.resolve().parent}"
            )
        return self

    def require(self) -> "StudyFolder":
        """This folder, if a search has been here.

        Raises:
            StudyError: there is no such study; names the nearest.
        """
        self.inside()
        if not (self.path / "config.yaml").is_file():
            siblings = sorted(path.parent.name for path in self.path.parent.glob("*/config.yaml"))
            known = f"; it holds {', '.join(siblings)}" if siblings else ""
            raise StudyError(
                f"no study {self.study!r} in {self.path.parent}{known}"
                f"{did_you_mean(self.study, siblings)}"
            )
        return self

    def open(self, config: RunConfig, renew: bool = True) -> None:
        """Create the folder, or accept it if it is of the same configuration.

        What may change between two runs is then as in the later one; not so without `renew`.

        Raises:
            StudyError: the folder belongs to another configuration; names the differences.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        if (self / "config.yaml").exists():
            stored = self.read_config()
            if stored.study != config.study:
                back = shlex.join(["mv", str(self.path), str(self.path.with_name(stored.study))])
                raise StudyError(
                    f"{self.path} is the study {stored.study!r}, renamed; its sampler's memory is "
                    f"under the old name. To go on with it: {back}, then study={stored.study}; to "
                    "begin another, give it a new name with study=…"
                )
            other = [
                f"{key} {old!r} → {new!r}"
                for key, old, new in differences(stored, config)
                if steers(key)
            ]
            if other:
                raise StudyError(
                    f"{self.path} is of another configuration ({'; '.join(other)}); "
                    "give this one another name with study=…, or the old settings"
                )
            if not renew:
                return
        elif self.trials.exists():
            raise StudyError(f"{self.path} holds trials but no config.yaml; move it away")
        from omegaconf import OmegaConf  # slow to import, and readers need none of it

        self.write("config.yaml", OmegaConf.to_yaml(OmegaConf.structured(config)))

    def read_config(self) -> RunConfig:
        """The configuration the study was made with.

        Raises:
            StudyError: the file is damaged.
        """
        path = self / "config.yaml"
        try:
            stored = load_yaml(path.read_text(encoding="utf-8"))
            if not stored:
                raise StudyError(f"{path} is empty; the study cannot be told from another")
            if not isinstance(stored, dict):
                raise StudyError(f"{path} is damaged: it is not a mapping of settings")
            _rename_reference(stored)
            for key, value in _BEFORE.items():
                group, _, name = key.partition(".")
                if stored.setdefault(group, {}).get(name) is None:
                    stored[group][name] = value
            return build(RunConfig, stored, base=bare_config())
        except UnknownSettingError as error:
            raise StudyError(
                f"{path} has the setting {error.name!r}, which this version does not know; the "
                "study is probably by a newer version of the toolkit"
            ) from None
        except (ConfigError, yaml.YAMLError, *DAMAGED) as error:
            raise StudyError(f"{path} is damaged: {one_line(error)}") from None

    def write(self, name: str, content: str | bytes) -> Path:
        """Write a file so that a crash or a full disk leaves the old one whole."""
        path = self.path / name
        write_durably(path, content if isinstance(content, bytes) else content.encode())
        return path

    @property
    def written(self) -> list[str]:
        """Which steps have left their files."""
        return [name for name in STEPS if (self / name).exists()]

    def trained(self) -> list[TrialRecord]:
        """The candidates that were trained, for however long, by trial number."""
        done = [record for record in read_records(self.trials) if isinstance(record, TrialRecord)]
        return sorted(done, key=lambda record: record.number)

    def completed(self) -> list[TrialRecord]:
        """Those that were trained to the end: the ones that compare."""
        return [record for record in self.trained() if not record.stopped]


def differences(old: RunConfig, new: RunConfig) -> Iterable[tuple[str, Any, Any]]:
    """Settings that two studies do not share: name, and the value of each."""
    from search.space.budget import cost_budget, target_macs  # NumPy: readers need none of it

    left, right = (
        {
            **flat(asdict(c)),
            # Written in another way they are the same.
            "objective": c.aim,
            "search.metric": c.quality.name,
            "budget.max_macs": c.max_macs if c.target is None else None,
            "search.pruner": c.pruner,
            "search.min_epochs": None if c.pruner == "none" else c.min_epochs,
            "budget.target": cost_budget(c).target,
            "reward.target_macs": target_macs(c),
            "workers.device": c.workers.device.partition(":")[0],  # which of them is no matter
        }
        for c in (old, new)
    )
    for key in sorted(left.keys() | right.keys()):
        if left.get(key) != right.get(key):
            yield key, left.get(key), right.get(key)


def flat(tree: Any, prefix: str = "") -> dict[str, Any]:
    """Settings by their whole names."""
    if isinstance(tree, dict):
        items = [(f"{prefix}.{key}" if prefix else str(key), value) for key, value in tree.items()]
    elif isinstance(tree, list) and any(isinstance(item, dict) for item in tree):
        items = [(f"{prefix}[{number}]", value) for number, value in enumerate(tree, 1)]
    else:
        return {prefix: tree}
    found: dict[str, Any] = {}
    for key, value in items:
        found.update(flat(value, key))
    return found
