"""How long a network takes on this device, with the device, threads, batch and runtime beside it.

Networks run in evaluation mode and fp32, on normalised random images. PyTorch runs them in
channels-last memory: over EfficientNet-B0, MobileNetV2 and ResNet-50, batch 1 and 16, 1 and 2
threads, it was 1.02 to 1.6 times as fast as contiguous memory on an x86 server core, so that it
is what someone who deploys would choose. ONNX Runtime chooses layouts of its own.
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from blocks.errors import LatencyError
from blocks.latency.device import available_cores, device_name, torch_threads
from blocks.latency.runtimes import example_images, ready
from blocks.latency.settle import FEWEST_REPEATS, summarise, time_until_settled
from blocks.latency.values import DEVICES, RUNTIMES, Latency
from blocks.names import did_you_mean

if TYPE_CHECKING:
    from blocks.network import Network


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
        with ready(network, runtime, device) as start:
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
