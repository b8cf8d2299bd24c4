"""One network run with the clock read between its units.

So each unit is timed with the caches as its neighbours leave them, which a block run alone by
itself, over and over, would find warm.
"""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from blocks.arch import ArchSpec
from blocks.errors import LatencyError
from blocks.latency.device import torch_threads
from blocks.latency.held_out import Floats
from blocks.latency.onnx_profile import assign_nodes
from blocks.latency.runtimes import example_images, exported, for_inference
from blocks.latency.units import Unit, units_of

if TYPE_CHECKING:
    import torch

    from blocks.network import Network

_SECONDS_PER_NETWORK: Final = 0.8
_REPEATS: Final = (7, 31)


class Settings(NamedTuple):
    """What a table is of, and the seed of its networks and weights."""

    runtime: str
    threads: int
    batch: int
    seed: int


@dataclass(frozen=True, slots=True)
class UnitTimes:
    """One network run with the clock read between units; milliseconds, medians over runs."""

    arch: ArchSpec
    num_classes: int
    whole_ms: float
    units: list[tuple[Unit, float]]


def build_network(arch: ArchSpec, num_classes: int, seed: int) -> "Network":
    """`Network` in evaluation mode, its weights drawn by `seed`."""
    import torch

    from blocks.network import Network

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Network(arch, num_classes).eval()


def measure_units(arch: ArchSpec, num_classes: int, settings: Settings) -> UnitTimes:
    """Run a network and time each of its units where it stands.

    Raises:
        LatencyError: `global_residual`, or a runtime that is missing or refuses the network.
    """
    if arch.global_residual:
        raise LatencyError("units of a network with global_residual cannot be run in a row")
    network = build_network(arch, num_classes, settings.seed)
    units = [unit for unit, times in units_of(arch, num_classes) for _ in range(times)]
    measure = _onnx_unit_times if settings.runtime == "onnxruntime" else _eager_unit_times
    with torch_threads(settings.threads):
        wholes, times = measure(network, units, settings.batch, settings.threads)
    return UnitTimes(
        arch=arch,
        num_classes=num_classes,
        whole_ms=float(np.median(wholes)),
        units=list(zip(units, np.median(times, axis=0).tolist(), strict=True)),
    )


def _eager_unit_times(
    network: "Network", units: Sequence[Unit], batch: int, threads: int
) -> tuple[Floats, Floats]:
    """Milliseconds of the runs (runs,) and of their units (runs, units)."""
    import torch

    del threads  # PyTorch's own setting holds
    pieces = pieces_of(for_inference(network))
    assert len(pieces) == len(units)
    images = example_images(network, batch).contiguous(memory_format=torch.channels_last)
    runs: list[list[float]] = []

    @torch.inference_mode()
    def run() -> None:
        x, stamps = images, [time.perf_counter()]
        for piece in pieces:
            x = piece(x)
            stamps.append(time.perf_counter())
        runs.append(stamps)

    _repeat(run)
    times = 1e3 * np.diff(np.array(runs[2:]), axis=1)
    return times.sum(axis=1), times


def pieces_of(network: "Network") -> list[Callable[["torch.Tensor"], "torch.Tensor"]]:
    """Functions that in a row are `network` (without `global_residual`), one for each unit."""
    blocks: list[Any] = [block for stage in network.stages for block in stage.children()]

    def stem(x: "torch.Tensor") -> "torch.Tensor":
        out: torch.Tensor = network.stem_pool(network.stem(x))
        return out

    def tail(x: "torch.Tensor") -> "torch.Tensor":
        x = network.hidden(network.pool(network.head(x)).flatten(1))
        logits: torch.Tensor = network.classifier(network.dropout(x))
        return logits

    return [stem, *blocks, tail]


def _repeat(run: Callable[[], None]) -> None:
    """Two warm-up runs, and then as many as the time for a network allows."""
    run()
    run()
    least, most = _REPEATS
    started = time.perf_counter()
    for number in range(1, most + 1):
        run()
        if number >= least and time.perf_counter() - started > _SECONDS_PER_NETWORK:
            break


def _onnx_unit_times(
    network: "Network", units: Sequence[Unit], batch: int, threads: int
) -> tuple[Floats, Floats]:
    """As `_eager_unit_times`, by ONNX Runtime's profile of its nodes.

    The whole is timed without the profile, which costs microseconds a node; the
    ratio of both is a part of what `Predictor` corrects.
    """
    from blocks.export.onnx import INPUT, onnx_session
    from blocks.export.prepare import optional_package

    feed = {INPUT: example_images(network, batch).numpy()}
    wholes: list[float] = []
    with exported(network) as path:
        session = onnx_session(path, threads)

        def run() -> None:
            started = time.perf_counter()
            session.run(None, feed)
            wholes.append(1e3 * (time.perf_counter() - started))

        _repeat(run)
        onnxruntime = optional_package("onnxruntime")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        options.enable_profiling = True
        options.profile_file_prefix = str(path.with_suffix(""))
        profiled = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        _repeat(lambda: profiled.run(None, feed))
        events = json.loads(Path(profiled.end_profiling()).read_text(encoding="utf-8"))
    return np.array(wholes[2:]), assign_nodes(events, units)[2:]
