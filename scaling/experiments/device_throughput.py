"""A light device against a server: which network is fast where.

The light device is one thread and one image at a time, in milliseconds. The server is all cores,
or the GPU where there is one, and many images at a time, in images a second. In every round all
networks are measured by turns, every other round backwards, so that what else the machine does
meets all alike. A pair is said to turn where in every round the one is faster on the light device
and the other on the server.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd

from blocks.arch import format_arch
from blocks.console import millions
from blocks.cost import count
from blocks.latency.device import available_cores, device_name
from blocks.latency.measure import check_settings, measure_latency
from blocks.network import Network
from scaling.experiments.bench import Bench
from scaling.experiments.table import Finding, write_table
from search.training.device import resolve_device

MOST_TURNS: Final = 8
"""Pairs that are named."""


@dataclass(frozen=True)
class Place:
    """Where networks run: `side` is light or server."""

    side: str
    device: str
    threads: int
    batch: int


@dataclass(frozen=True)
class Timed:
    """A network at a place: milliseconds of a batch by round."""

    name: str
    place: Place
    median_ms: tuple[float, ...]

    @property
    def rate(self) -> float:
        """Images a second, the median of the rounds."""
        return 1e3 * self.place.batch / float(np.median(self.median_ms))


def run_device_throughput(bench: Bench) -> Finding:
    """Measure all networks at all places; nothing is trained.

    Raises:
        LatencyError: what this machine cannot measure.
        ScalingError: a network that cannot be made.
    """
    options = bench.options
    threads = options.server_threads or available_cores()
    places = _places(options.batches, threads, resolve_device(bench.asked().config.device))
    for place in places:
        check_settings(options.runtime, place.threads, place.batch, place.device)
    archs = {each.name: bench.made(each.make) for each in bench.experiment.variants}
    classes = bench.data.num_classes
    networks = {name: Network(arch, classes).eval() for name, arch in archs.items()}
    times: dict[tuple[str, Place], list[float]] = {
        (name, place): [] for place in places for name in networks
    }
    for number in range(options.rounds):
        order = list(networks) if number % 2 == 0 else list(reversed(networks))
        for place, name in itertools.product(places, order):
            found = measure_latency(
                networks[name],
                place.batch,
                place.threads,
                options.runtime,
                device=place.device,
                seconds=options.seconds,
            )
            times[name, place].append(found.median_ms)
    timed = [Timed(name, place, tuple(each)) for (name, place), each in times.items()]
    table = pd.DataFrame(
        [
            {
                "variant": each.name,
                "macs": count(archs[each.name], classes).macs,
                "params": count(archs[each.name], classes).params,
                "side": each.place.side,
                "device": device_name(each.place.device),
                "threads": each.place.threads,
                "batch": each.place.batch,
                "median_ms": round(float(np.median(each.median_ms)), 4),
                "least_ms": round(min(each.median_ms), 4),
                "most_ms": round(max(each.median_ms), 4),
                "images_a_second": round(each.rate, 2),
                "runtime": options.runtime,
                "arch": format_arch(archs[each.name]),
            }
            for each in timed
        ]
    )
    macs = {name: count(arch, classes).macs for name, arch in archs.items()}
    return _finding(bench, timed, places, macs, table)


def _places(batches: Sequence[int], threads: int, device: str) -> list[Place]:
    found = [Place("light", "cpu", 1, 1)]
    found += [Place("server", "cpu", threads, batch) for batch in batches]
    if device == "cuda":
        found += [Place("server", "cuda", 1, batch) for batch in batches]
    return list(dict.fromkeys(found))


def turned(timed: Sequence[Timed], light: Place, server: Place) -> list[tuple[str, str]]:
    """Pairs of which the first is faster at `light` and the second at `server`, in every round."""
    by = {(each.name, each.place): np.array(each.median_ms) for each in timed}
    names = list(dict.fromkeys(each.name for each in timed))
    return [
        (one, other)
        for one, other in itertools.permutations(names, 2)
        if (by[one, light] < by[other, light]).all() and (by[one, server] > by[other, server]).all()
    ]


def _finding(
    bench: Bench,
    timed: Sequence[Timed],
    places: Sequence[Place],
    macs: dict[str, int],
    table: pd.DataFrame,
) -> Finding:
    by = {(each.name, each.place): each for each in timed}
    light, *servers = places
    shown = []
    for name, cost in macs.items():
        own = by[name, light].median_ms
        cells = [name, millions(cost), f"{np.median(own):.3g} ({min(own):.3g} to {max(own):.3g})"]
        shown.append((*cells, *(f"{by[name, place].rate:,.0f}" for place in servers)))
    said = []
    for place in servers:
        pairs = turned(timed, light, place)
        where = f"{_of(place)} at batch {place.batch}"
        if not pairs:
            said.append(f"{where}: no pair of networks turns")
            continue
        named = "; ".join(f"{one} and {other}" for one, other in pairs[:MOST_TURNS])
        more = f", and {len(pairs) - MOST_TURNS} more" if len(pairs) > MOST_TURNS else ""
        said.append(
            f"{where}: {len(pairs)} of {len(macs) * (len(macs) - 1) // 2} pairs turn (first faster "
            f"on the light device, second here): {named}{more}"
        )
    fastest = max(servers, key=lambda place: sum(by[name, place].rate for name in macs))
    said.append(f"most images a second: {_of(fastest)} at batch {fastest.batch}")
    threads = "1 thread"
    return Finding(
        f"{bench.experiment.name}: {bench.options.runtime}, {bench.options.rounds} rounds, "
        f"{device_name('cpu')}",
        (
            "",
            "macs",
            f"ms an image, {threads} (least to most)",
            *(f"images/s, {_of(place)}, batch {place.batch}" for place in servers),
        ),
        tuple(shown),
        tuple(said),
        (write_table(bench.path(), table),),
    )


def _of(place: Place) -> str:
    if place.device == "cuda":
        return "GPU"
    return "1 thread" if place.threads == 1 else f"{place.threads} threads"
