"""Where networks train, and in which number format.

`workers.device=auto` is a CUDA device where there is one. `proxy.precision=auto` is decided by a
measurement: automatic mixed precision in bfloat16 is up to five times as fast on a GPU, and slower
than float32 on most CPUs.
"""

import time
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from blocks.arch import ArchSpec
from blocks.layers import ConvNormAct
from blocks.native import accelerate
from blocks.native.library import available
from blocks.network import Network
from search.config.schema import ProxyConfig, RunConfig
from search.errors import ConfigError
from search.record.folder import StudyFolder

if TYPE_CHECKING:  # a process that trains has no use for Optuna
    from search.space.members import SpaceCandidates

GAIN: Final = 1.1
"""How many times as fast bfloat16 must be to be chosen: it costs digits."""
HALF: Final = ("bf16", "fp16")
"""Precisions of half the digits, which the compiled operators do not know."""
_ROUNDS: Final = 10
_SECONDS: Final = 3.0
"""Of measuring, after which two rounds are enough."""


def resolve_device(name: str, elsewhere: bool = False) -> str:
    """auto, cpu, cuda or cuda:N → cpu, cuda or cuda:N; `elsewhere`: it is not of this machine.

    Raises:
        ConfigError: there is no such CUDA device here.
    """
    here = torch.cuda.is_available()
    if name == "auto":
        return "cuda" if here else "cpu"
    if name == "cpu" or elsewhere:
        return name
    if not here:
        raise ConfigError(f"workers.device={name}: PyTorch sees no CUDA device here; expected cpu")
    number = name.partition(":")[2]
    if number and int(number) >= torch.cuda.device_count():
        known = ", ".join(f"cuda:{each}" for each in range(torch.cuda.device_count()))
        raise ConfigError(f"workers.device={name} is not there; expected cpu, cuda or {known}")
    return name


def kind_of(device: str) -> str:
    """cpu, cuda or cuda:N → cpu or cuda: what all devices of a study are."""
    return device.partition(":")[0]


def gpus(device: str) -> tuple[int, ...]:
    """The numbers of the GPUs that workers share out: all visible ones of `cuda`, N of `cuda:N`,
    none of `cpu`."""
    kind, _, number = device.partition(":")
    if kind != "cuda":
        return ()
    return (int(number),) if number else tuple(range(torch.cuda.device_count()))


def settle_device(
    config: RunConfig,
    candidates: "SpaceCandidates",
    train_images: int,
    folder: StudyFolder | None = None,
) -> tuple[str, str]:
    """The device, and the precision as measured there in the middle of the space.

    A study that exists keeps what it began with, as its trainings are to compare.

    Raises:
        ConfigError: see `resolve_device`; or a precision cannot be measured here.
    """
    elsewhere = config.where.elsewhere
    if folder is not None and (folder / "config.yaml").exists():
        stored = folder.read_config()
        device = config.workers.device
        if device == "auto":
            device = stored.workers.device
        if kind_of(device) == "cuda" and not elsewhere and not torch.cuda.is_available():
            raise ConfigError(
                f"{folder.path} trains on cuda, but PyTorch sees no CUDA device here; expected "
                "one, or another study=…"
            )
        return (
            device,
            stored.proxy.precision if config.proxy.precision == "auto" else config.proxy.precision,
        )
    device, precision = resolve_device(config.workers.device, elsewhere), config.proxy.precision
    if precision == "auto" and kind_of(device) == "cuda" and not torch.cuda.is_available():
        raise ConfigError(
            "proxy.precision=auto is measured on this machine, which has no CUDA device; expected "
            "proxy.precision=bf16 or fp32, as the other machines train"
        )
    if precision == "auto":
        threads = torch.get_num_threads()
        torch.set_num_threads(config.workers.threads)
        try:
            middle = {
                name: values[len(values) // 2] for name, values in candidates.space.choices.items()
            }
            arch = candidates.network(middle)[0]
            proxy = replace(config.proxy, batch_size=min(config.proxy.batch_size, train_images))
            with torch.cuda.device(gpus(device)[0] if gpus(device) else -1):
                seconds = step_seconds(arch, candidates.num_classes, proxy, kind_of(device))
        finally:
            torch.set_num_threads(threads)
        precision = "bf16" if seconds["fp32"] > GAIN * seconds["bf16"] else "fp32"
    return device, precision


def step_seconds(
    arch: ArchSpec, num_classes: int, proxy: ProxyConfig, device: str
) -> dict[str, float]:
    """Seconds of a training step in each precision: the least of rounds that take turns."""
    shape = (proxy.batch_size, arch.in_channels, *arch.image)
    images = torch.zeros(shape).to(device, memory_format=torch.channels_last)
    labels = torch.arange(proxy.batch_size, device=device) % num_classes
    with torch.random.fork_rng(devices=[]):  # networks are made on the CPU
        networks = {
            precision: place(
                Network(arch, num_classes), replace(proxy, precision=precision), device
            )
            for precision in ("fp32", "bf16")
        }
    best = dict.fromkeys(networks, float("inf"))
    begun = time.perf_counter()
    for turn in range(_ROUNDS):
        if turn > 1 and time.perf_counter() - begun > _SECONDS:
            break
        for precision, network in networks.items():
            started = time.perf_counter()
            with autocast(precision, device):
                loss = F.cross_entropy(network(images), labels)
            loss.backward()  # type: ignore[no-untyped-call]
            if device == "cuda":
                torch.cuda.synchronize()
            if turn:  # the first chooses kernels
                best[precision] = min(best[precision], time.perf_counter() - started)
    if device == "cuda":
        # What this process keeps, the trainings do not have.
        del images, labels, loss, networks, network
        torch.cuda.empty_cache()
    return best


def wants_compiled(proxy: ProxyConfig, device: str) -> bool:
    """Whether networks train by the compiled operators, if those can be had."""
    return proxy.kernels == "auto" and device == "cpu" and proxy.precision not in HALF


def compiled(proxy: ProxyConfig, device: str) -> bool:
    """Whether networks train by the compiled operators; builds them where they are missing."""
    return wants_compiled(proxy, device) and available()


def place(network: Network, proxy: ProxyConfig, device: str) -> Network:
    """`network` on its device, in the memory layout and by the operators that train it fastest."""
    network = network.to(device).to(memory_format=torch.channels_last)
    if proxy.precision in HALF:
        if device == "cpu":
            _keep_depthwise_in_float32(network)
    elif compiled(proxy, device):
        accelerate(network)
    return network


def autocast(precision: str, device: str) -> AbstractContextManager[object]:
    """Automatic mixed precision, if it is asked for."""
    return torch.autocast(device, dtype=torch.bfloat16, enabled=precision == "bf16")


def _keep_depthwise_in_float32(network: nn.Module) -> None:
    # In bfloat16 a CPU's depthwise backward takes ten times as long, at stride 2 more.
    for module in network.modules():
        if isinstance(module, ConvNormAct) and module.conv.groups > 1:
            module.trainer = _in_float32


def _in_float32(layer: ConvNormAct, x: Tensor) -> Tensor:
    with torch.autocast(x.device.type, enabled=False):
        return layer.plain(x.float())
