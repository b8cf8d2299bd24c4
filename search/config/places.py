"""Where trainings run, and what each of them may take: settings that steer no trial."""

import shutil
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from search.errors import ConfigError

EXECUTORS: Final = ("processes", "ray", "submitit")


@dataclass(frozen=True)
class WorkersConfig:
    """Training processes and the threads of each. `count` + `ahead` trials are in flight."""

    count: int = 0  # 0: as many as the machine, or the Ray cluster, has cores and memory for
    threads: int = 1  # of each process
    ahead: int = 0
    # further trials that are asked before the earliest is told, so that no worker waits for a
    # slow one; what is proposed depends on count and ahead, and not on who was quicker
    device: str = "auto"
    # cpu | cuda: every visible GPU, workers in turn | cuda:N: that one | auto: cuda where there is
    # one
    minutes: float | None = None  # of wall clock that one training may take; null: no limit
    memory: Any = None
    # bytes, as 4G, that a training may take beyond what its worker begins with; null: no limit


@dataclass(frozen=True)
class RayConfig:
    """Of executor=ray: which cluster, and how often a training is begun again."""

    address: str | None = None
    # of a cluster that runs: auto | HOST:PORT; null: one of this machine alone, which listens to
    # nobody else and ends with the command
    gpus: float = 1.0  # of a training, where it has one: 0.5 puts two on each
    retries: int = 3  # of a training whose worker or node died


@dataclass(frozen=True)
class SlurmConfig:
    """Of executor=submitit: the jobs of Slurm, each of which is a worker."""

    cluster: str = "slurm"  # slurm | local: processes of this machine, to try it without Slurm
    partition: str | None = None  # of the cluster; null: its default
    account: str | None = None  # that the jobs are charged to; null: the user's default
    minutes: int = 240  # of a worker's job; a training that it ends is begun again by the next
    memory: Any = None  # of a worker's job, as 8G; null: what the cluster gives
    more: dict[str, str] = field(default_factory=dict)  # further options of sbatch: {qos: long}
    retries: int = 3  # of a training whose worker or node died


@dataclass(frozen=True)
class Where:
    """Where trainings run. `folder`: of files that workers on other machines read and write too;
    None: a temporary one of this machine."""

    executor: str = "processes"
    ray: RayConfig = field(default_factory=RayConfig)
    slurm: SlurmConfig = field(default_factory=SlurmConfig)
    folder: Path | None = None

    @property
    def elsewhere(self) -> bool:
        """Whether workers may be on other machines than this."""
        if self.executor == "ray":
            return self.ray.address is not None
        return self.executor == "submitit" and self.slurm.cluster == "slurm"


HERE: Final = Where()
"""Processes of this machine."""
EXTRAS: Final = {"ray": ("ray", "ray"), "submitit": ("submitit", "slurm")}
"""Of an executor its package, and the extra that installs it."""


def require_executor(where: Where) -> None:
    """Refuse what cannot run here, before any image is read.

    Raises:
        ConfigError: an extra is not installed, or there is no Slurm.
    """
    package, extra = EXTRAS.get(where.executor, (None, None))
    if package is not None and find_spec(package) is None:
        raise ConfigError(
            f"executor={where.executor} needs the package {package}; expected: pip install "
            f"'compound-nas[{extra}]'"
        )
    if where.executor == "submitit" and where.elsewhere and shutil.which("sbatch") is None:
        raise ConfigError(
            "executor=submitit: there is no sbatch here; expected a machine of a Slurm cluster, "
            "or slurm.cluster=local to try it without one"
        )
