"""A latency, with the device, threads, batch and runtime that it is of."""

from dataclasses import dataclass
from typing import Final

RUNTIMES: Final = {
    "eager": "PyTorch, operator by operator",
    "compile": "torch.compile, default mode, static shapes",
    "onnxruntime": "ONNX Runtime, exported with a dynamic batch, all graph optimisations",
}
DEVICES: Final = ("cpu", "cuda")


@dataclass(frozen=True, slots=True)
class Latency:
    """Milliseconds of one batch. `p5_ms` and `p95_ms` are percentiles of the single runs.

    `low_ms` and `high_ms` are the 95% interval of the median (see `median_interval`);
    `converged` says that it lies within ±3% of the median, else a cap ended the `repeats`.
    `device` is the name of the processor or GPU.
    """

    median_ms: float
    p5_ms: float
    p95_ms: float
    batch: int
    threads: int
    runtime: str
    device: str
    low_ms: float
    high_ms: float
    repeats: int
    converged: bool

    @property
    def images_per_second(self) -> float:
        return 1e3 * self.batch / self.median_ms
