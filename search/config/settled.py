"""Settings as they are in force: what a user left open is decided, once per study.

A `RunConfig` is what a user asked for. A `SettledConfig` is what a study runs with: the number of
workers, the device and the number format are known. A function that needs them known asks for the
second type, so that nobody can hand it a `workers.count` of 0.
"""

from dataclasses import dataclass, field, fields
from typing import Any, Self

from search.config.places import WorkersConfig
from search.config.schema import EPOCHS, ProxyConfig, RunConfig


@dataclass(frozen=True)
class SettledWorkers(WorkersConfig):
    """`count` is 1 or more, `device` is cpu, cuda or cuda:N."""

    count: int = 1
    device: str = "cpu"

    def __post_init__(self) -> None:
        if self.count < 1 or self.device.partition(":")[0] not in ("cpu", "cuda"):
            raise ValueError(f"not settled: workers.count={self.count}, device={self.device}")


@dataclass(frozen=True)
class SettledProxy(ProxyConfig):
    """`precision` is fp32 or bf16, `epochs` a number."""

    epochs: int = EPOCHS
    precision: str = "fp32"

    def __post_init__(self) -> None:
        if self.precision not in ("fp32", "bf16") or self.epochs is None:
            raise ValueError(
                f"not settled: proxy.precision={self.precision}, proxy.epochs={self.epochs}"
            )


@dataclass(frozen=True)
class SettledConfig(RunConfig):
    """All settings of a study, nothing left open."""

    proxy: SettledProxy = field(default_factory=SettledProxy)
    workers: SettledWorkers = field(default_factory=SettledWorkers)

    @classmethod
    def of(cls, config: RunConfig, workers: int, device: str, precision: str) -> Self:
        """`config` with these three decided.

        Raises:
            ValueError: one of them is still open.
        """
        own = _fields(config)
        own["proxy"] = SettledProxy(**{**_fields(config.proxy), "precision": precision})
        own["workers"] = SettledWorkers(
            **{**_fields(config.workers), "count": workers, "device": device}
        )
        return cls(**own)


def _fields(config: Any) -> dict[str, Any]:
    return {each.name: getattr(config, each.name) for each in fields(config)}
