"""How long a network takes on this device, with the device, threads, batch and runtime beside it.

Networks run in evaluation mode and fp32, on normalised random images. PyTorch runs them in
channels-last memory: over EfficientNet-B0, MobileNetV2 and ResNet-50, batch 1 and 16, 1 and 2
threads, it was 1.02 to 1.6 times as fast as contiguous memory on an x86 server core, so that it
is what someone who deploys would choose. ONNX Runtime chooses layouts of its own.
"""

import contextlib
import copy
import functools
import math
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from blocks.errors import ExportError, LatencyError, one_line
from blocks.machine import processor
from blocks.names import did_you_mean

if TYPE_CHECKING:
    from torch import Tensor

    from blocks.network import Network

RUNTIMES: Final = {
    "eager": "PyTorch, operator by operator",
    "compile": "torch.compile, default mode, static shapes",
    "onnxruntime": "ONNX Runtime, exported with a dynamic batch, all graph optimisations",
}
DEVICES: Final = ("cpu", "cuda")

TOLERANCE: Final = 0.03
"""A median is settled once its 95% interval lies within ± this fraction of it."""
MIN_REPEATS: Final = 15
FEWEST_REPEATS: Final = 6
"""With fewer samples no two of them enclose the median with 95%: 1 − 2/2⁶ = 96.9%."""

_WARM_UP_CALLS: Final = 3
_WARM_UP_SECONDS: Final = 0.2


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


def measure_latency(
    network: "Network",
    batch: int = 1,
    threads: int = 1,
    runtime: str = "eager",
    *,
    device: str = "cpu",
    seconds: float = 10.0,
    max_repeats: int = 1000,
) -> Latency:
    """The latency of `network` at its own resolution, until the median is settled or capped.

    `seconds` and `max_repeats` are the caps; export, compilation and warm-up are not in them,
    and `FEWEST_REPEATS` are made in any case. `network` itself is left as it is.

    Raises:
        LatencyError: see `check_settings`; or a runtime that is missing or refuses the network.
    """
    (latency,) = profile_network(
        network,
        [batch],
        [runtime],
        [threads],
        device=device,
        seconds=seconds,
        max_repeats=max_repeats,
    )
    return latency


def profile_network(
    network: "Network",
    batches: Sequence[int],
    runtimes: Sequence[str],
    threads: Sequence[int],
    *,
    device: str = "cpu",
    seconds: float = 10.0,
    max_repeats: int = 1000,
) -> Iterator[Latency]:
    """`measure_latency` of every combination, one by one as they are measured.

    Raises:
        LatencyError: as `measure_latency`, before the first measurement where it can be known.
    """
    for runtime in runtimes:
        for count in threads:
            for batch in batches:
                check_settings(runtime, count, batch, device)
    if not seconds > 0 or max_repeats < FEWEST_REPEATS:
        raise LatencyError(
            f"caps of {seconds:g} seconds and {max_repeats} repeats; expected more than 0 "
            f"seconds, and {FEWEST_REPEATS} repeats or more"
        )
    return _profile(network, batches, runtimes, threads, device, seconds, max_repeats)


def _profile(
    network: "Network",
    batches: Sequence[int],
    runtimes: Sequence[str],
    threads: Sequence[int],
    device: str,
    seconds: float,
    max_repeats: int,
) -> Iterator[Latency]:
    name = device_name(device)
    for runtime in runtimes:
        with _prepare(network, runtime, device) as start:
            for count in threads:
                with torch_threads(count):
                    call = start(count)
                    for batch in batches:
                        images = example_images(network, batch)
                        times = time_until_settled(call(images), seconds, max_repeats)
                        yield summarise(times, batch, count, runtime, name)


def check_settings(runtime: str, threads: int, batch: int, device: str = "cpu") -> None:
    """Refuse what this machine cannot measure.

    Raises:
        LatencyError: an unknown runtime or device, more threads than cores, no batch.
    """
    if runtime not in RUNTIMES:
        raise LatencyError(
            f"unknown runtime {runtime!r}{did_you_mean(runtime, RUNTIMES)}; "
            f"expected {', '.join(RUNTIMES)}"
        )
    if device not in DEVICES:
        raise LatencyError(
            f"unknown device {device!r}{did_you_mean(device, DEVICES)}; "
            f"expected {', '.join(DEVICES)}"
        )
    cores = available_cores()
    if not 1 <= threads <= cores:
        raise LatencyError(f"threads {threads} is not from 1 to {cores}, the cores to be had here")
    if batch < 1:
        raise LatencyError(f"batch {batch} is not a whole number of 1 or more")
    if device == "cuda":
        import torch

        if runtime == "onnxruntime":
            raise LatencyError("runtime onnxruntime is measured on the CPU only; expected cpu")
        if not torch.cuda.is_available():
            raise LatencyError("device cuda: PyTorch finds no CUDA device here; expected cpu")


def available_cores() -> int:
    """Cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def device_name(device: str = "cpu") -> str:
    """The name of the processor, or of the GPU."""
    if device == "cpu":
        return processor()
    import torch

    return torch.cuda.get_device_name()


def median_interval(samples: Sequence[float]) -> tuple[float, float]:
    """The 95% confidence interval of the median of independent samples, whatever they follow.

    The r-th smallest and the r-th largest sample enclose the median with probability
    1 − 2·P(B < r), B ~ Binomial(n, ½); r is the largest that leaves 95%. Runs in a row are not
    quite independent, and stopping once the interval is narrow favours lucky ones, so that the
    true coverage is somewhat less.

    Raises:
        ValueError: fewer than `FEWEST_REPEATS` samples.
    """
    rank = _interval_rank(len(samples))
    if rank < 1:
        raise ValueError(f"{len(samples)} samples have no 95% interval of the median")
    ordered = sorted(samples)
    return ordered[rank - 1], ordered[-rank]


@functools.lru_cache(maxsize=4096)
def _interval_rank(n: int) -> int:
    total, term, rank = 0, 1, 0
    # Whole numbers: P(B < r) ≤ 2.5% where 40 times the sum of binomials is at most 2ⁿ.
    while 40 * (total + term) <= 2**n:
        total += term
        term = term * (n - rank) // (rank + 1)
        rank += 1
    return rank


def is_settled(samples: Sequence[float], tolerance: float = TOLERANCE) -> bool:
    """Whether the median's 95% interval lies within ±`tolerance` of the median."""
    if len(samples) < FEWEST_REPEATS:
        return False
    low, high = median_interval(samples)
    median = percentile(samples, 50)
    return (1 - tolerance) * median <= low and high <= (1 + tolerance) * median


def percentile(samples: Sequence[float], percent: float) -> float:
    """Linear interpolation between the two nearest samples, as NumPy's default."""
    ordered = sorted(samples)
    position = percent / 100 * (len(ordered) - 1)
    below = math.floor(position)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (position - below) * (ordered[above] - ordered[below])


def summarise(
    times: Sequence[float], batch: int, threads: int, runtime: str, device: str
) -> Latency:
    """The `Latency` of single runs in milliseconds."""
    low, high = median_interval(times)
    return Latency(
        median_ms=percentile(times, 50),
        p5_ms=percentile(times, 5),
        p95_ms=percentile(times, 95),
        batch=batch,
        threads=threads,
        runtime=runtime,
        device=device,
        low_ms=low,
        high_ms=high,
        repeats=len(times),
        converged=len(times) >= MIN_REPEATS and is_settled(times),
    )


def time_until_settled(
    call: Callable[[], object], seconds: float, max_repeats: int = 1000
) -> list[float]:
    """Milliseconds of each run of `call`, after a warm-up, until `is_settled` or a cap."""
    started = time.perf_counter()
    for number in range(1, 21):
        call()
        if number >= _WARM_UP_CALLS and time.perf_counter() - started > _WARM_UP_SECONDS:
            break
    times: list[float] = []
    next_look = MIN_REPEATS
    first = time.perf_counter()
    while True:
        started = time.perf_counter()
        call()
        ended = time.perf_counter()
        times.append(1e3 * (ended - started))
        repeats = len(times)
        if repeats < FEWEST_REPEATS:
            continue
        if ended - first >= seconds or repeats >= max_repeats:
            return times
        if repeats >= next_look:
            if is_settled(times):
                return times
            next_look = repeats + max(5, repeats // 10)


@contextlib.contextmanager
def torch_threads(threads: int) -> Iterator[None]:
    """PyTorch's number of threads, set and put back."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def example_images(network: "Network", batch: int) -> "Tensor":
    """Normalised random images (batch, in_channels, resolution, resolution), always the same."""
    import torch

    side = network.arch.resolution
    generator = torch.Generator().manual_seed(0)
    return torch.randn(batch, network.arch.in_channels, side, side, generator=generator)


_Bind = Callable[["Tensor"], Callable[[], object]]
"""Images → a call without arguments that runs them and returns once it is done."""


@contextlib.contextmanager
def _prepare(network: "Network", runtime: str, device: str) -> Iterator[Callable[[int], _Bind]]:
    """What is done once per network and runtime; gives threads → images → call."""
    if runtime == "onnxruntime":
        with exported(network) as path:
            yield lambda threads: _onnxruntime(path, threads)
    else:
        build = _compile if runtime == "compile" else _eager
        yield lambda threads: build(network, threads, device)


def for_inference(network: "Network", device: str = "cpu") -> "Network":
    """A copy in evaluation mode and channels-last memory."""
    import torch

    moved: Network = copy.deepcopy(network).eval().to(device)
    return moved.to(memory_format=torch.channels_last)


def _eager(network: "Network", threads: int, device: str) -> _Bind:
    del threads  # PyTorch's own setting holds
    return _torch_call(for_inference(network, device), device)


def _compile(network: "Network", threads: int, device: str) -> _Bind:
    import torch
    import torch._inductor.config as inductor

    # Generated code holds its number of threads. Said here it is a part of the key of inductor's
    # cache on disk; taken from set_num_threads, some versions would find another number's code.
    torch._dynamo.reset()
    module = torch.compile(for_inference(network, device), dynamic=False, fullgraph=True)
    bind = _torch_call(module, device)

    def compiled(images: "Tensor") -> Callable[[], object]:
        call = bind(images)
        try:
            with inductor.patch({"cpp.threads": threads}):
                call()
        except Exception as error:  # a missing C++ compiler, among many
            reason = one_line(error)
            raise LatencyError(f"torch.compile cannot build the network: {reason[:200]}") from None
        return call

    return compiled


def _torch_call(module: Any, device: str) -> _Bind:
    import torch

    def bind(images: "Tensor") -> Callable[[], object]:
        images = images.to(device).contiguous(memory_format=torch.channels_last)

        @torch.inference_mode()
        def call() -> object:
            logits = module(images)
            if device == "cuda":
                torch.cuda.synchronize()
            return logits

        return call

    return bind


def _onnxruntime(path: Path, threads: int) -> _Bind:
    from blocks.export.onnx import INPUT, onnx_session

    try:
        session = onnx_session(path, threads)
    except ExportError as error:
        raise LatencyError(f"runtime onnxruntime: {error}") from None

    def bind(images: "Tensor") -> Callable[[], object]:
        feed = {INPUT: images.numpy()}
        return lambda: session.run(None, feed)

    return bind


@contextlib.contextmanager
def exported(network: "Network") -> Iterator[Path]:
    """`network` as an ONNX file that is gone afterwards.

    Raises:
        LatencyError: a package is missing, or the network cannot be written.
    """
    from blocks.export.onnx import export_onnx
    from blocks.export.prepare import optional_package

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.onnx"
        try:
            optional_package("onnxruntime")  # before an export that takes seconds
            export_onnx(network, path)
        except ExportError as error:
            raise LatencyError(f"runtime onnxruntime: {error}") from None
        yield path
