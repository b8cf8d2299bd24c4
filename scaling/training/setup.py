"""What a training is made of before its first step: network, optimizer, schedule, average."""

import contextlib
import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

import torch
from torch import nn

from blocks.drop_block import DropBlockSpec
from blocks.network import Network
from scaling.compound import ScalingError
from scaling.training.config import RecipeConfig, TrainConfig
from scaling.training.parallel import World, distributed, same_everywhere, with_synced_norm
from scaling.training.targets import Target
from search.config.schema import ProxyConfig
from search.training.device import GAIN, compiled, place, resolve_device, step_seconds
from search.training.loss import Loss

Average = Any
"""timm's `ModelEmaV3`."""


_TURNS: Final = 6
_SECONDS: Final = 3.0
"""Of measuring threads, after which two turns are enough."""


@dataclass(frozen=True)
class Machine:
    """What a training runs on and how; `precision` is fp32, bf16 or fp16."""

    device: str
    precision: str
    kernels: str = "auto"
    compile: bool = False
    threads: int = 1

    @property
    def proxy(self) -> ProxyConfig:
        """The same, in the words of a search."""
        kernels = "torch" if self.compile else self.kernels
        return ProxyConfig(precision=self.precision, kernels=kernels)

    @property
    def operators(self) -> str:
        """Which operators layers train by: they round differently."""
        return "compiled" if compiled(self.proxy, self.device) else "torch"

    def autocast(self) -> torch.autocast:
        """Automatic mixed precision, where it is used."""
        kind = torch.float16 if self.precision == "fp16" else torch.bfloat16
        return torch.autocast(self.device, dtype=kind, enabled=self.precision != "fp32")


def settle_machine(
    config: TrainConfig, target: Target, num_classes: int, stored: Mapping[str, Any], alone: bool
) -> Machine:
    """The device, the precision and the threads: as asked for, as `stored` in what is gone on
    from, or as measured on this network. `alone`: no other process trains it too.

    Raises:
        ConfigError: there is no such device.
    """
    device = resolve_device(config.device)
    precision = config.precision
    if precision == "auto":
        precision = str(stored.get("precision") or "")
        if not precision and alone:
            precision = _measured(config, target, num_classes, device)
        elif not precision:  # each process would measure something else
            precision = "bf16" if device == "cuda" else "fp32"
    # The compiled layers normalise by the images of their own process.
    kernels = config.kernels if alone or not config.sync_norm else "torch"
    machine = Machine(device, precision, kernels, config.compile)
    threads = config.threads or stored.get("threads")
    if threads is None:
        threads = torch.get_num_threads()
        if device == "cpu" and alone and threads > 1:
            threads = _fastest(machine, config.recipe.batch_size, target, num_classes, threads)
    torch.set_num_threads(int(threads))
    torch.backends.cudnn.deterministic = True  # gone on with, the same network
    return replace(machine, threads=int(threads))


def _fastest(machine: Machine, batch: int, target: Target, num_classes: int, most: int) -> int:
    """1 thread, or `most` where they are faster: of small networks, and where other work holds a
    core, they mostly wait for one another."""
    arch = target.arch
    with torch.random.fork_rng(devices=[]):
        network = place(Network(arch, num_classes), machine.proxy, machine.device).train()
        images = torch.rand(batch, arch.in_channels, *arch.image)
    images = images.contiguous(memory_format=torch.channels_last)
    best = {1: math.inf, most: math.inf}
    begun = time.perf_counter()
    for turn in range(_TURNS):
        for threads in best:
            torch.set_num_threads(threads)
            started = time.perf_counter()
            with machine.autocast():
                loss = network(images).float().square().mean()
            loss.backward()
            if turn:  # the first chooses kernels
                best[threads] = min(best[threads], time.perf_counter() - started)
        if turn and time.perf_counter() - begun > _SECONDS:
            break
    return most if best[1] > GAIN * best[most] else 1


def _measured(config: TrainConfig, target: Target, num_classes: int, device: str) -> str:
    # Where the compiled operators are, bfloat16 was never as fast on a CPU (docs/training.md).
    if device == "cpu" and compiled(ProxyConfig(kernels=config.kernels), device):
        return "fp32"
    proxy = ProxyConfig(batch_size=min(config.recipe.batch_size, 64), kernels=config.kernels)
    seconds = step_seconds(target.arch, num_classes, proxy, device)
    return "bf16" if seconds["fp32"] > GAIN * seconds["bf16"] else "fp32"


def settle_recipe(recipe: RecipeConfig, target: Target, flip: bool) -> RecipeConfig:
    """The recipe with what depends on the network and the images decided."""
    dropout = target.sized_dropout if recipe.dropout is None else recipe.dropout
    warmup = min(recipe.warmup_epochs, recipe.epochs / 2)
    return replace(
        recipe,
        dropout=dropout,
        flip=flip if recipe.flip is None else recipe.flip,
        warmup_epochs=warmup,
    )


def make_network(target: Target, num_classes: int, recipe: RecipeConfig, seed: int) -> Network:
    """The network with random weights, which follow `seed`."""
    torch.manual_seed(seed)
    spec = DropBlockSpec(recipe.drop_block, recipe.drop_block_size, recipe.drop_block_shape)
    return Network(
        target.arch,
        num_classes,
        dropout=recipe.dropout or 0.0,
        drop_path=recipe.drop_path,
        drop_block=spec if recipe.drop_block else None,
    )


@dataclass
class Parts:
    """`network` holds the weights; `model` is what is called in training, wrapped as need be.
    `projection` brings the network's features to the size of a teacher's."""

    network: Network
    model: nn.Module
    optimizer: torch.optim.Optimizer
    schedule: Any
    average: Average | None
    scaler: torch.amp.GradScaler | None
    loss: Loss
    projection: nn.Module | None = None

    @property
    def judged(self) -> Network:
        """What is validated and kept: the average, where there is one."""
        found: Network = self.network if self.average is None else self.average.module
        return found


def make_parts(
    network: Network,
    recipe: RecipeConfig,
    machine: Machine,
    steps: int,
    loss: Loss,
    world: World,
    sync_norm: bool = True,
    projection: nn.Module | None = None,
) -> Parts:
    """Everything that trains `network` by `recipe`, with `steps` in an epoch."""
    from timm.scheduler import create_scheduler_v2  # type: ignore[attr-defined]  # timm's own face
    from timm.utils import ModelEmaV3  # type: ignore[attr-defined]

    if world.size > 1 and sync_norm:
        with_synced_norm(network)
    network = place(network, machine.proxy, machine.device)
    if world.size > 1:
        same_everywhere(network)
    trained = nn.ModuleList([network, projection]) if projection is not None else network
    optimizer = _optimizer(trained, recipe, machine.device)
    with _names_of_timm("schedule", recipe.schedule, "cosine"):
        schedule, _ = create_scheduler_v2(
            optimizer,
            recipe.schedule,
            num_epochs=recipe.epochs,
            decay_epochs=recipe.decay_epochs,
            decay_rate=recipe.decay_rate,
            min_lr=recipe.min_lr,
            warmup_lr=recipe.warmup_lr,
            warmup_epochs=recipe.warmup_epochs,  # type: ignore[arg-type]  # fractions are right too
            step_on_epochs=False,
            updates_per_epoch=steps,
        )
        if schedule is None:
            raise ValueError("it is none")
    average = None
    if recipe.ema:
        # With TensorFlow's rise, min(decay, (1 + t) / (10 + t)): after the few steps of a small
        # data set 0.9999 would still be nearly the random weights.
        average = ModelEmaV3(
            network, recipe.ema, use_warmup=True, warmup_gamma=9.0, warmup_power=1.0
        )
    model: nn.Module = network
    if machine.compile:
        model = torch.compile(network)  # type: ignore[assignment]
    if world.size > 1:
        model = distributed(model, machine.device)
    scaler = torch.amp.GradScaler(machine.device) if machine.precision == "fp16" else None
    return Parts(network, model, optimizer, schedule, average, scaler, loss, projection)


def _optimizer(trained: nn.Module, recipe: RecipeConfig, device: str) -> torch.optim.Optimizer:
    from timm.optim import create_optimizer_v2  # type: ignore[attr-defined]

    settings: dict[str, Any] = {}
    if recipe.eps is not None:
        settings["eps"] = recipe.eps
    if recipe.optimizer in ("adamw", "adam", "sgd", "nesterov"):
        settings["fused"] = True
    with _names_of_timm("optimizer", recipe.optimizer, "adamw"):
        made: torch.optim.Optimizer = create_optimizer_v2(
            trained,
            recipe.optimizer,
            lr=recipe.lr,
            weight_decay=recipe.weight_decay,
            momentum=recipe.momentum,
            **settings,
        )
    return made


@contextlib.contextmanager
def _names_of_timm(setting: str, value: str, example: str) -> Iterator[None]:
    """Say in one line what timm does not take.

    Raises:
        ScalingError: the value, and what was expected.
    """
    try:
        yield
    except (ValueError, AssertionError, KeyError, TypeError, ImportError) as error:
        said = " ".join(str(error).split())[:120]
        raise ScalingError(
            f"recipe.{setting}={value}: {said}; expected a name of timm's, for example {example}"
        ) from None


def recipe_as_proxy(recipe: RecipeConfig) -> ProxyConfig:
    """What of a recipe the loss of a search knows."""
    return ProxyConfig(label_smoothing=recipe.label_smoothing, class_weights=recipe.class_weights)


def written_recipe(recipe: RecipeConfig) -> dict[str, Any]:
    """All values of a recipe, as YAML and a checkpoint hold them."""
    return {
        name: value if not isinstance(value, float) or math.isfinite(value) else None
        for name, value in asdict(recipe).items()
    }
