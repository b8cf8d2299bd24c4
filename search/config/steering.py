"""Which settings may change between two runs of one study."""

from typing import Final

STEERING_FREE: Final = frozenset(
    {
        "results_dir",
        "executor",
        "storage",
        "workers.minutes",
        "workers.memory",
        "search.trials",
        "search.minutes",
        "search.scale",
        "search.probe",
        "search.references",
        "search.controls",
        "search.finalists",
        "search.final_epochs",
        "search.final_seeds",
        "dataset.root",
        "dataset.path",
        "dataset.download",
        "dataset.cache",
        "budget.latency_table",
        "fidelity.architectures",
        "fidelity.epochs",
        "fidelity.seeds",
        "fidelity.repeated",
        "fidelity.supernet",
    }
)
"""Settings that may change between two runs of one study: they steer no trial (the images and
the latency table are pinned by their hashes, wherever they lie)."""

PLACES: Final = ("ray.", "slurm.")
"""Groups of such settings."""


def steers(name: str) -> bool:
    """Whether a setting has to stay as it was when the study began."""
    return name not in STEERING_FREE and not name.startswith(PLACES)
