"""Measuring a latency table: random networks unit by unit, and others whole to judge it by."""

import datetime
import math
import random
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Final

import numpy as np

from blocks.arch import ArchSpec
from blocks.errors import LatencyError
from blocks.latency.device import device_name
from blocks.latency.draw import ALL_INPUTS, Inputs, check_inputs, draw_arch
from blocks.latency.held_out import HeldOut
from blocks.latency.measure import check_settings, measure_latency
from blocks.latency.predict import Predictor
from blocks.latency.table import Fitted, LatencyTable
from blocks.latency.time_units import Settings, UnitTimes, build_network, measure_units
from blocks.latency.unit_model import UnitModel
from blocks.latency.units import Unit
from blocks.machine import versions
from blocks.zoo import ZOO

MEASURABLE: Final = ("eager", "onnxruntime")
"""Runtimes in which a unit can be timed inside its network. torch.compile fuses across them."""

HELD_OUT_ZOO: Final = (
    "efficientnet_b0", "mobilenetv2_100", "mobilenetv3_small", "resnet50", "efficientnet_lite0",
    "mobilenetv3_large", "mnasnet_a1", "tinynet_c", "efficientnetv2_b0", "mobilenetv2_050",
    "efficientnet_b1", "tinynet_e", "mnasnet_small", "resnext50_32x4d", "tinynet_a",
    "efficientnet_b2",
)  # fmt: skip
"""In this order, as far as the time goes."""
_FIT_SHARE: Final = 0.7
_FEWEST_NETWORKS: Final = 3
_FOLDS: Final = 5


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
    check_inputs(inputs)
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
            network = build_network(arch, num_classes, seed)
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
