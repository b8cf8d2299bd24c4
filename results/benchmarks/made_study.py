"""A study of random networks with made-up accuracies, as a search would leave it.

No benchmark itself.

Costs and files are real, no network is trained. Kernels of 5 at the first stage bring 4 points,
nothing else does anything: what a report says of such a study is known.
"""

from pathlib import Path

import numpy as np
import optuna
import yaml
from omegaconf import OmegaConf
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from blocks.arch import format_arch, square
from blocks.machine import versions
from search.config.face import config_from
from search.record.folder import StudyFolder
from search.record.trials import FailureRecord, TrialRecord, append_record, derive_seed
from search.space.budget import cost_budget
from search.space.choices import build_space
from search.space.members import SpaceCandidates

CLASSES = 10
WINS = "stage1.kernel"


def make_study(results: Path, study: str, trials: int, failures: int = 0) -> StudyFolder:
    """Write config.yaml, trials.jsonl, references.yaml, reference.jsonl and optuna.journal."""
    config = config_from(
        study=study, results_dir=str(results), space="tiny", **{"budget.max_macs": "2M"},
        **{"search.trials": trials, "proxy.epochs": 12, "search.pruner": "none"},
    )  # fmt: skip
    folder = StudyFolder(str(results), study)
    folder.path.mkdir(parents=True)
    folder.write("config.yaml", OmegaConf.to_yaml(OmegaConf.structured(config)))
    budget = cost_budget(config)
    space = build_space(config.space, square(28), 1, CLASSES, budget)
    members = SpaceCandidates(space, budget, CLASSES)
    draw = np.random.default_rng(0)
    lines, frozen = [], []
    for number, code in enumerate(members.sample(trials, draw)):
        params = members.decode(code)
        arch, cost, _ = members.network(params)
        accuracy = 0.8 + 0.04 * (params[WINS] == 5) + 0.01 * float(draw.normal())
        metrics = {"val_accuracy": accuracy, "val_loss": 2 * (1 - accuracy), "train_loss": 0.5}
        lines.append(
            TrialRecord(
                number, format_arch(arch), cost, metrics, derive_seed(0, number), {"epochs": 12},
                {"train": 30.0, "eval": 0.5}, versions(),
            )
        )  # fmt: skip
        frozen.append(
            optuna.trial.create_trial(
                params=params,
                distributions=dict(members.distributions),
                values=[accuracy, float(cost.macs)],
            )
        )
    for record in lines:
        append_record(folder.trials, record)
    for number in range(failures):
        spelling = lines[0].arch if lines else "r28-s16-[ds_r1_k3_s1_e1_c16]-h64"
        failure = FailureRecord(trials + number, spelling, "oom", "out of memory: <8 GB> & more")
        append_record(folder.trials, failure)
    if lines:
        middle = lines[len(lines) // 2]
        folder.write("references.yaml", yaml.safe_dump({"known": {"arch": middle.arch}}))
        append_record(folder / "reference.jsonl", middle)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    journal = JournalStorage(JournalFileBackend(str(folder / "optuna.journal")))
    made = optuna.create_study(
        storage=journal, study_name=study, directions=["maximize", "minimize"]
    )
    made.add_trials(frozen)
    return folder
