"""Measuring a latency table: random networks, run with the clock read between their units.

So each unit is timed with the caches as its neighbours leave them, which a block run alone by
itself, over and over, would find warm.
"""

import datetime
import json
import math
import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from blocks.arch import ACTIVATIONS, ArchSpec, StageSpec
from blocks.cost import count
from blocks.errors import CompoundNasError, LatencyError
from blocks.latency.measure import (
    check_settings,
    device_name,
    example_images,
    exported,
    for_inference,
    measure_latency,
    torch_threads,
)
from blocks.latency.predict import Fitted, Floats, HeldOut, LatencyTable, Predictor, UnitModel
from blocks.machine import versions
from blocks.rounding import round_channels
from blocks.units import Unit, convolutions, units_of
from blocks.zoo import ZOO

if TYPE_CHECKING:
    import torch

    from blocks.network import Network

MEASURABLE: Final = ("eager", "onnxruntime")
"""Runtimes in which a unit can be timed inside its network. torch.compile fuses across them."""

HELD_OUT_ZOO: Final = (
    "efficientnet_b0", "mobilenetv2_100", "mobilenetv3_small", "resnet50", "efficientnet_lite0",
    "mobilenetv3_large", "mnasnet_a1", "tinynet_c", "efficientnetv2_b0", "mobilenetv2_050",
    "efficientnet_b1", "tinynet_e", "mnasnet_small", "resnext50_32x4d", "tinynet_a",
    "efficientnet_b2",
)  # fmt: skip
"""In this order, as far as the time goes."""


# How random networks are drawn: a table's range is theirs.
_SHARES: Final = {"mobile": 0.65, "fused": 0.2, "bottleneck": 0.15}
_USUAL_RESOLUTIONS: Final = (32, 48, 64, 96, 128, 160, 192, 224, 224, 240, 260, 288, 320, 384)


class Inputs(NamedTuple):
    """The images that networks are drawn for; None: of all sizes, and mostly of three channels."""

    resolution: tuple[int, int] | None = None  # least and most, pixels
    channels: int | None = None


ALL_INPUTS: Final = Inputs()


def draw_arch(draw: random.Random, most_macs: float, inputs: Inputs = ALL_INPUTS) -> ArchSpec:
    """A random network of the kinds that search spaces and the literature have."""
    while True:
        try:
            arch = _draw_arch(draw, inputs)
        except CompoundNasError:  # a resolution too small for the strides: draw again
            continue
        if count(arch).macs <= most_macs:
            return arch


def _draw_arch(draw: random.Random, inputs: Inputs) -> ArchSpec:
    (family,) = draw.choices(list(_SHARES), list(_SHARES.values()))
    usual = draw.random() < 0.5
    resolution = draw.choice(_USUAL_RESOLUTIONS) if usual else _between(draw, 24, 400)
    if inputs.resolution is not None:
        resolution = draw.randint(*inputs.resolution)
    act = draw.choice(list(ACTIVATIONS)) if family != "bottleneck" else "relu"
    stem_stride = 1 if resolution < 64 and draw.random() < 0.5 else 2
    stem_pool = draw.random() < (0.6 if family == "bottleneck" else 0.05)
    halvings = (stem_stride == 2) + stem_pool
    stages = draw.randint(2, 7)
    strided = max(0, round(math.log2(resolution / draw.choice([4, 7, 7, 10, 16]))) - halvings)
    strided = min(strided, stages)
    strides = [2] * strided + [1] * (stages - strided)
    draw.shuffle(strides)
    stem = round_channels(_between(draw, 8, 72))
    widest = _between(draw, *((256, 2048) if family == "bottleneck" else (64, 704)))
    growth = (widest / stem) ** (1 / stages)
    channels = [stem * growth ** (number + draw.uniform(-0.7, 1.1)) for number in range(stages)]
    channels = [min(width, widest) for width in channels]
    squeezes = draw.random() < 0.6
    rows = tuple(
        _draw_stage(draw, family, number / stages, stride, width, squeezes)
        for number, (stride, width) in enumerate(zip(strides, channels, strict=True))
    )
    without_head = draw.random() < (0.9 if family == "bottleneck" else 0.1)
    return ArchSpec(
        stem=stem,
        stages=rows,
        head=0 if without_head else round_channels(_between(draw, 64, 1600)),
        head_hidden=_between(draw, 128, 1280) if draw.random() < 0.12 else 0,
        resolution=resolution,
        act=act,
        stem_stride=stem_stride,
        stem_kernel=7 if stem_pool else 3,
        stem_pool=stem_pool,
        in_channels=inputs.channels or (1 if draw.random() < 0.15 else 3),
        se_base="expanded" if draw.random() < 0.2 else "input",
        padding="same" if draw.random() < 0.12 else "symmetric",
    )


def _draw_stage(
    draw: random.Random, family: str, depth: float, stride: int, width: float, squeezes: bool
) -> StageSpec:
    kernel = draw.choice([3, 3, 5, 5, 7])
    expand_ratio: float = draw.choice([1, 2, 3, 4, 6, 6])
    if family == "bottleneck":
        block = draw.choice(["bt", "bx"])
        groups = draw.choice([4, 8, 16, 32]) if block == "bx" else 1
        kernel = draw.choice([3, 3, 3, 5])
        expand_ratio = draw.choice([0.25, 0.5]) if block == "bt" else 0.5
        channels = max(1, round(width / (4 * groups))) * 4 * groups
    else:
        fused = family == "fused" and depth < draw.uniform(0.2, 0.8)
        block = ("cn" if expand_ratio == 1 else "er") if fused else ("ds", "ir")[expand_ratio > 1]
        kernel = draw.choice([3, 3, 3, 5]) if fused else kernel
        groups, channels = 1, round_channels(width)
    return StageSpec(
        block=block,
        repeats=draw.randint(1, 3),
        kernel=kernel,
        stride=stride,
        expand_ratio=expand_ratio,
        channels=channels,
        se_ratio=0.25 if squeezes and block in ("ir", "ds", "er") else 0.0,
        skip=draw.random() < 0.9,
        groups=groups,
    )


def _between(draw: random.Random, low: int, high: int) -> int:
    """A whole number from `low` to `high`, each octave as likely as another."""
    return round(2 ** draw.uniform(math.log2(low), math.log2(high)))


_FIT_SHARE: Final = 0.7
_FEWEST_NETWORKS: Final = 3
_FOLDS: Final = 5
_SECONDS_PER_NETWORK: Final = 0.8
_REPEATS: Final = (7, 31)


@dataclass(frozen=True, slots=True)
class UnitTimes:
    """One network run with the clock read between units; milliseconds, medians over runs."""

    arch: ArchSpec
    num_classes: int
    whole_ms: float
    units: list[tuple[Unit, float]]


def build_table(
    *,
    runtime: str = "eager",
    threads: int = 1,
    batch: int = 1,
    minutes: float = 3.0,
    seed: int = 0,
    inputs: Inputs = ALL_INPUTS,
    report: Callable[[str], None] = lambda line: None,
) -> LatencyTable:
    """Measure random networks on this CPU, and how well they predict others, in `minutes`.

    70% of the time goes to the units, the rest to held-out networks, by turns a random one and one
    of the zoo (random ones alone where `inputs` are not those of the zoo); three networks of each
    are measured in any case. `report` is told of the progress.

    Raises:
        LatencyError: a runtime, number of threads, batch or size of images that cannot be measured.
    """
    check_settings(runtime, threads, batch)
    _check_inputs(inputs)
    if runtime not in MEASURABLE:
        raise LatencyError(
            f"runtime {runtime} fuses across blocks and takes a minute to compile each network; "
            f"a latency table is measured for {' or '.join(MEASURABLE)}"
        )
    if not (math.isfinite(minutes) and minutes > 0):
        raise LatencyError(f"minutes {minutes:g} is not more than 0")
    settings = Settings(runtime, threads, batch, seed)
    most_macs = max(5e9 / batch, 5e8)
    # Streams of their own: the held-out networks do not depend on how many are fitted.
    draw = random.Random(f"units {seed}")
    others = _held_out(random.Random(f"held out {seed}"), most_macs, inputs)
    samples: list[UnitTimes] = []
    held_out: list[tuple[str, str, ArchSpec, int, float]] = []
    started, fitting = time.perf_counter(), 0.0
    while True:
        elapsed = time.perf_counter() - started
        short_of_samples = len(samples) < _FEWEST_NETWORKS
        short_of_others = len(held_out) < 2 * _FEWEST_NETWORKS
        if elapsed >= 60 * minutes and not short_of_samples and not short_of_others:
            break
        # By turns, so that a load on the machine that comes and goes slows both alike.
        if short_of_samples or (
            fitting <= _FIT_SHARE * elapsed and not (elapsed >= 60 * minutes and short_of_others)
        ):
            num_classes = draw.choice([10, 100, 1000])
            samples.append(measure_units(draw_arch(draw, most_macs, inputs), num_classes, settings))
            fitting += time.perf_counter() - started - elapsed
        else:
            kind, name, arch, num_classes = next(others)
            network = _build(arch, num_classes, seed)
            latency = measure_latency(network, batch, threads, runtime, seconds=2.0)
            held_out.append((kind, name, arch, num_classes, latency.median_ms))
        report(
            f"{len(samples)} networks of {sum(len(each.units) for each in samples):,} units, "
            f"{len(held_out)} held out"
        )
    table = fit_table(samples, settings)
    predictor = Predictor(table)
    for kind, name, arch, num_classes, measured in held_out:
        predicted = predictor.predict_ms(arch, num_classes)
        outside = predictor.outside(arch, num_classes)
        row = HeldOut(name, str(arch), num_classes, measured, predicted, outside)
        (table.zoo if kind == "zoo" else table.random).append(row)
    return table


class Settings(NamedTuple):
    """What a table is of, and the seed of its networks and weights."""

    runtime: str
    threads: int
    batch: int
    seed: int


def fit_table(samples: Sequence[UnitTimes], settings: Settings) -> LatencyTable:
    """The table of these networks, without held-out ones."""
    folds = min(_FOLDS, len(samples))
    models = [
        UnitModel(_medians([each for at, each in enumerate(samples) if at % folds != fold]))
        for fold in range(folds)
    ]
    networks = [
        Fitted(
            str(sample.arch),
            sample.num_classes,
            sample.whole_ms,
            models[at % folds].total_ms([(unit, 1) for unit, _ in sample.units]),
        )
        for at, sample in enumerate(samples)
    ]
    return LatencyTable(
        device=device_name(),
        runtime=settings.runtime,
        threads=settings.threads,
        batch=settings.batch,
        seed=settings.seed,
        date=datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d"),
        versions=versions("onnxruntime"),
        units=_medians(samples),
        networks=networks,
    )


def _check_inputs(inputs: Inputs) -> None:
    if inputs.resolution is not None and not 8 <= inputs.resolution[0] <= inputs.resolution[1]:
        low, high = inputs.resolution
        raise LatencyError(
            f"resolution {low},{high} is no range of pixels; expected 8 ≤ LOW ≤ HIGH"
        )
    if inputs.channels is not None and inputs.channels < 1:
        raise LatencyError(f"in_channels {inputs.channels} is too small; expected 1 or more")


def _held_out(
    draw: random.Random, most_macs: float, inputs: Inputs
) -> Iterator[tuple[str, str, ArchSpec, int]]:
    """By turns a random network and one of the zoo, until the zoo's list ends; then random."""
    zoo = iter(HELD_OUT_ZOO if inputs == ALL_INPUTS else ())
    for number in range(1, 1000):
        num_classes = draw.choice([10, 100, 1000])
        yield "random", f"random {number}", draw_arch(draw, most_macs, inputs), num_classes
        name = next(zoo, None)
        if name is not None:
            yield "zoo", name, ZOO[name], 1000


def _medians(samples: Sequence[UnitTimes]) -> dict[Unit, float]:
    times: dict[Unit, list[float]] = {}
    for sample in samples:
        for unit, ms in sample.units:
            times.setdefault(unit, []).append(ms)
    return {unit: float(np.median(each)) for unit, each in times.items()}


def _build(arch: ArchSpec, num_classes: int, seed: int) -> "Network":
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
    network = _build(arch, num_classes, settings.seed)
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


def assign_nodes(events: Sequence[dict[str, Any]], units: Sequence[Unit]) -> Floats:
    """Milliseconds (runs, units) of a profile by ONNX Runtime.

    Nodes run in the network's order and each convolution of a unit is one node, so that counting
    convolutions tells where a unit ends; what follows a convolution belongs to its unit. A tail
    without a convolution begins with the last pooling.

    Raises:
        LatencyError: the profile has other convolutions than the units.
    """
    owners = [number for number, unit in enumerate(units) for _ in convolutions(unit)]
    runs: list[list[float]] = []
    nodes: list[tuple[str, float]] = []
    for event in sorted(events, key=lambda event: event.get("ts", 0)):
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            nodes.append((event["args"]["op_name"], event["dur"] / 1e3))
        elif event.get("name") == "model_run":
            # A run is stamped when it starts, so that its nodes follow it.
            if nodes:
                runs.append(_unit_sums(nodes, owners, len(units)))
            nodes = []
    if nodes:
        runs.append(_unit_sums(nodes, owners, len(units)))
    return np.array(runs)


def _unit_sums(nodes: list[tuple[str, float]], owners: list[int], units: int) -> list[float]:
    convolving = [index for index, (name, _) in enumerate(nodes) if name.endswith("Conv")]
    if len(convolving) != len(owners):
        raise LatencyError(
            f"ONNX Runtime ran {len(convolving)} convolutions; expected {len(owners)}, so that "
            "its profile cannot be split into blocks"
        )
    starts = dict(zip(convolving, owners, strict=True))
    if owners[-1] != units - 1:
        pooling = [
            index for index, (name, _) in enumerate(nodes) if "Pool" in name or "Mean" in name
        ]
        starts[pooling[-1]] = units - 1
    sums = [0.0] * units
    owner = 0
    for index, (_, ms) in enumerate(nodes):
        owner = starts.get(index, owner)
        sums[owner] += ms
    return sums
