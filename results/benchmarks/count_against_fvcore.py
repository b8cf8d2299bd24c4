"""`count` against fvcore: equal on random architectures, and how many times faster.

    python results/benchmarks/count_against_fvcore.py --architectures 10000

Each architecture is drawn at random, built, and counted by both; per-operator counts must be
equal to the last integer. Then both are timed on the same architectures, one thread, in one
run: fvcore without the time to build the network, `count` as the mean of 100 calls.
"""

import random
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

import numpy as np
import torch
from harness import check_finite, make_parser, parse, print_foot

from blocks.arch import BLOCKS, ArchSpec, StageSpec
from blocks.cost import count, count_by_operator, measure_flops_fvcore
from blocks.network import Network

EXPAND_RATIOS: Final[Mapping[str, Sequence[float]]] = {
    "ir": [2, 3, 4, 6, 2.5],
    "er": [2, 4, 6],
    "ds": [1],
    "cn": [1],
    "bt": [0.25, 0.5],
    "bx": [0.5],
}


def random_stage(draw: random.Random) -> StageSpec:
    block = draw.choice(list(BLOCKS))
    groups = draw.choice([2, 4, 8]) if block == "bx" else 1
    return StageSpec(
        block=block,
        repeats=draw.randint(1, 4),
        kernel=draw.choice([3, 5, 7, 9]),
        stride=draw.choice([1, 1, 2]),
        expand_ratio=draw.choice(EXPAND_RATIOS[block]),
        channels=draw.choice([16, 32, 48, 64] if block == "bx" else [7, 8, 12, 16, 24, 40, 80]),
        se_ratio=draw.choice([0.0, 0.25, 0.1, 1.0]) if block in ("ir", "ds", "er") else 0.0,
        skip=draw.random() < 0.7,
        groups=groups,
    )


def random_arch(draw: random.Random) -> ArchSpec:
    """Any network the grammar can say, of a size that fvcore traces in reasonable time."""
    arch = ArchSpec(
        stem=draw.choice([8, 12, 16, 32]),
        stages=tuple(random_stage(draw) for _ in range(draw.randint(1, 7))),
        head=draw.choice([0, 33, 64, 128, 320]),
        resolution=draw.choice([129, 130, 145, 160]),
        act=draw.choice(["silu", "relu", "relu6", "hard_swish"]),
        stem_stride=draw.choice([1, 2]),
        in_channels=draw.choice([1, 3]),
        stem_kernel=draw.choice([3, 3, 7]),
        stem_pool=draw.random() < 0.2,
        head_hidden=draw.choice([0, 0, 100]),
        se_base=draw.choice(["input", "expanded"]),
        se_divisor=draw.choice([1, 8]),
        padding=draw.choice(["symmetric", "same"]),
        global_residual=draw.random() < 0.2,
    )
    # Full resolution only checks larger numbers, slowly: back to the least that the strides take.
    halvings = [arch.stem_stride, 1 + arch.stem_pool, *(s.stride for s in arch.stages)].count(2)
    least = 2 ** (halvings - 1) + 1 if halvings else 1
    return replace(arch, resolution=max(least, draw.randint(16, 64)))


def main() -> None:
    parser = make_parser(__doc__, seed=0)
    parser.add_argument("--architectures", type=int, default=10000)
    arguments = parse(parser, architectures=20)
    torch.set_num_threads(1)
    draw = random.Random(arguments.seed)
    ratios, fvcore_ms, count_us = [], [], []
    for number in range(arguments.architectures):
        arch = random_arch(draw)
        num_classes = draw.choice([2, 10, 1000])
        network = Network(arch, num_classes).eval()
        started = time.perf_counter()
        measured = measure_flops_fvcore(network)
        fvcore_seconds = time.perf_counter() - started
        started = time.perf_counter()
        for _ in range(100):
            cost = count(arch, num_classes)
        count_seconds = (time.perf_counter() - started) / 100
        by_operator = count_by_operator(arch, num_classes)
        counted = {name: flops for name, flops in by_operator.items() if flops}
        params = sum(parameter.numel() for parameter in network.parameters())
        if counted != measured or cost.params != params:
            sys.exit(f"architecture {number} differs: {arch}\n {counted}\n {measured}")
        if cost.flops_fvcore != sum(measured.values()):
            sys.exit(f"architecture {number}: total differs from its operators: {arch}")
        ratios.append(fvcore_seconds / count_seconds)
        fvcore_ms.append(1e3 * fvcore_seconds)
        count_us.append(1e6 * count_seconds)
    check_finite("fvcore against count", ratios, low=1)
    low, median, high = np.percentile(ratios, [5, 50, 95])
    print(f"{len(ratios)} architectures: per-operator counts and params all equal")
    print(f"fvcore median {np.median(fvcore_ms):.1f} ms, count median {np.median(count_us):.1f} us")
    print(f"count is {median:,.0f} times faster (5%-95%: {low:,.0f}-{high:,.0f})")
    print_foot(arguments)


if __name__ == "__main__":
    main()
