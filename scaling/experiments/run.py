"""Running an experiment: each kind has a module of its own."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from scaling.experiments.bench import Bench, open_bench
from scaling.experiments.config import Experiment
from scaling.experiments.device_throughput import run_device_throughput
from scaling.experiments.ensemble import run_ensemble
from scaling.experiments.pretraining import run_pretraining
from scaling.experiments.resolution_sampling import run_resolution_sampling
from scaling.experiments.table import Finding
from scaling.experiments.variants import run_variants
from scaling.training.loop import Watcher

RUNS: Final[Mapping[str, Callable[[Bench], Finding]]] = {
    "variants": run_variants,
    "ensemble": run_ensemble,
    "pretraining": run_pretraining,
    "resolution_sampling": run_resolution_sampling,
    "device_throughput": run_device_throughput,
}
"""Of each `kind` of `config.KINDS`, what it does."""


def run_experiment(
    experiment: Experiment,
    options: Any,
    overrides: Sequence[str],
    watcher: Watcher | None = None,
) -> Finding:
    """Do what its kind says; what is trained already is read. Writes experiments/NAME.csv in the
    study's folder.

    Raises:
        ScalingError, StudyError, ConfigError, DataError, TrainingError: as `scaling train`.
    """
    return RUNS[experiment.kind](open_bench(experiment, options, overrides, watcher))
