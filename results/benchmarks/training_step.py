"""Our training step against timm's, torchvision's and plain PyTorch's, paired in one run.

    python results/benchmarks/training_step.py --repeats 9

Networks: EfficientNet-B0 (32×32, batch 128) as timm and torchvision build it and as we do, and 12
random members of `space=tiny` (28×28, batch 64) as modules of plain PyTorch and by the compiled
operators. Every process, plain PyTorch's too, keeps freed memory as a worker of a search does. A
step is forward, cross-entropy, backward and AdamW (fused, for all). Variants take turns, so that a
slow moment slows all; a turn is some steps in a row, as in a training, where a network finds its
weights and buffers in the caches. A ratio is the median over turns of ratios within a turn, with
its 5th and 95th percentile. Threads: 1, all, and all cores as processes of one thread. `--compile`
adds torch.compile (minutes to build). Then every shape of block that the space has, alone: is any
slower than by plain PyTorch? Ends with what the machine could do: the time that the arithmetic at
the peak of matrix products, or the least traffic at the memory's bandwidth, would take, as a share
of the time taken, by kind of block.
"""

import argparse
import itertools
import multiprocessing
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from multiprocessing.queues import SimpleQueue
from multiprocessing.synchronize import Barrier

import numpy as np
import timm
import torch
import torch.nn.functional as F
import torchvision
from harness import check, check_finite, make_parser, parse, print_foot, spread
from torch import nn

from blocks.arch import ArchSpec, parse_arch
from blocks.cost import count
from blocks.native import accelerate
from blocks.network import Network
from blocks.zoo import find_arch
from search.config.compose import compose_config
from search.config.schema import RunConfig
from search.evaluators.process import keep_memory
from search.space.members import draw_members
from search.study.settle import open_members

Step = Callable[[], float]
CLASSES = 10
OURS = "ours"
IN_A_ROW = 4
"""Steps of one turn."""
SHAPES = list(itertools.product(
    (8, 16, 24, 32, 64, 96), (14, 7), (1, 2), (3, 5, 7), (1, 3, 4, 6), ("", "_se0.25")
))  # fmt: skip
"""Of single blocks: channels, side, stride, kernel, expand ratio, squeeze-and-excitation."""


def main() -> None:
    parser = make_parser(__doc__, seed=0)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--members", type=int, default=12)
    parser.add_argument("--batch", type=int, default=128, help="of EfficientNet-B0")
    parser.add_argument("--steps", type=int, default=40, help="of one turn of a process")
    parser.add_argument("--every", type=int, default=1, help="one in so many shapes of block")
    parser.add_argument("--megabytes", type=int, default=256, help="that a copy's time is of")
    parser.add_argument("--compile", action="store_true")
    arguments = parse(parser, repeats=1, members=1, batch=8, steps=2, every=96, megabytes=16)
    warnings.simplefilter("ignore")
    keep_memory()
    cores = multiprocessing.cpu_count()
    spellings = members(arguments.members, arguments.seed)
    # Threads of one step wait for one another at every operation, and do so for minutes where other
    # work holds a core, as it does beside CI's tests.
    for threads in [1] if arguments.quick else sorted({1, cores}):
        torch.set_num_threads(threads)
        print(f"\n{threads} thread{'s' if threads > 1 else ''}", flush=True)
        compare_b0(arguments)
        compare_members(spellings, arguments)
    torch.set_num_threads(1)
    if cores > 1:
        repeats = 1 if arguments.quick else max(3, arguments.repeats // 3)
        compare_processes(spellings, cores, repeats, arguments.steps)
    sweep(arguments.every)
    roofline(arguments.repeats, arguments.megabytes)
    print()
    print_foot(arguments, "timm")


def members(number: int, seed: int) -> list[str]:
    """Random members of `space=tiny` up to 2M macs."""
    config = compose_config("config", ["space=tiny", "budget.max_macs=2M"], RunConfig)
    return draw_members(open_members(config)[1], number, seed)


def step_of(
    network: nn.Module, images: torch.Tensor, channels_last: bool = True, bf16: bool = False
) -> Step:
    """Seconds of one training step of `network` on a fixed batch."""
    network.train()
    if channels_last:
        network = network.to(memory_format=torch.channels_last)
        images = images.contiguous(memory_format=torch.channels_last)
    labels = torch.arange(len(images)) % CLASSES
    optimizer = torch.optim.AdamW(network.parameters(), 1e-3, fused=True)

    def step() -> float:
        started = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            loss = F.cross_entropy(network(images), labels)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        return time.perf_counter() - started

    return step


def our_network(arch: ArchSpec) -> Network:
    """As a proxy training has it."""
    network = Network(arch, CLASSES)
    if not accelerate(network):
        sys.exit("error: no compiled operators on this machine (is there a C++ compiler?)")
    return network


def take_turns(steps: dict[str, Step], repeats: int) -> dict[str, np.ndarray]:
    """Seconds of a step of each in each turn, the first of a turn not counted, after one turn to
    warm up."""

    def turn() -> dict[str, float]:
        return {
            name: float(np.mean([step() for _ in range(IN_A_ROW)][1:]))
            for name, step in steps.items()
        }

    turn()
    turns = [turn() for _ in range(repeats)]
    for name in steps:
        check_finite(f"seconds of a step, {name}", [each[name] for each in turns], low=1e-7)
    return {name: np.array([each[name] for each in turns]) for name in steps}


def compare_b0(arguments: argparse.Namespace) -> None:
    torch.manual_seed(arguments.seed)
    batch = arguments.batch
    images = torch.randn(batch, 3, 32, 32)
    arch = replace(find_arch("efficientnet_b0"), resolution=32)

    def peer() -> nn.Module:
        network: nn.Module = timm.create_model("efficientnet_b0", num_classes=CLASSES)
        return network

    vision = torchvision.models.efficientnet_b0
    steps = {
        OURS: step_of(our_network(arch), images),
        "timm, contiguous": step_of(peer(), images, channels_last=False),
        "timm, channels_last": step_of(peer(), images),
        "timm, channels_last, bf16": step_of(peer(), images, bf16=True),
        "torchvision, contiguous": step_of(vision(num_classes=CLASSES), images, False),
        "torchvision, channels_last": step_of(vision(num_classes=CLASSES), images),
    }
    if arguments.compile:
        built = peer().to(memory_format=torch.channels_last)
        steps["timm, channels_last, compiled"] = step_of(compiled(built), images)
    seconds = take_turns(steps, arguments.repeats)
    print(f"EfficientNet-B0, 32×32, batch {batch}; times as long as ours within turns, 5–95%")
    for name, taken in seconds.items():
        print(
            f"  {name:32} {batch / np.median(taken):6.0f} images/s  {spread(taken / seconds[OURS])}"
        )


def compiled(network: nn.Module) -> nn.Module:
    """As torch.compile makes it."""
    found = torch.compile(network)
    assert isinstance(found, nn.Module)
    return found


def compare_members(spellings: Sequence[str], arguments: argparse.Namespace) -> None:
    images = torch.randn(64, 1, 28, 28)
    ratios: dict[str, list[float]] = {}
    for spelling in spellings:
        arch = parse_arch(spelling)
        torch.manual_seed(arguments.seed)
        steps = {
            OURS: step_of(our_network(arch), images),
            "contiguous": step_of(Network(arch, CLASSES), images, channels_last=False),
            "channels_last": step_of(Network(arch, CLASSES), images),
            "channels_last, bf16": step_of(Network(arch, CLASSES), images, bf16=True),
        }
        if arguments.compile:
            built = Network(arch, CLASSES).to(memory_format=torch.channels_last)
            steps["channels_last, compiled"] = step_of(compiled(built), images)
        seconds = take_turns(steps, arguments.repeats)
        for name in list(steps)[1:]:
            ratio = float(np.median(seconds[name] / seconds[OURS]))
            ratios.setdefault(name, []).append(ratio)
    print(f"{len(spellings)} random members of space=tiny, 28×28, batch 64: times as long as ours")
    for name, found in ratios.items():
        print(
            f"  {name:32} median {np.median(found):.2f}, from {min(found):.2f} to {max(found):.2f}"
        )


@dataclass(frozen=True)
class Crew:
    """Processes that train the same network at the same time, each on as many threads."""

    processes: int
    threads: int
    is_ours: bool

    def __str__(self) -> str:
        whose = OURS if self.is_ours else "plain"
        return f"{whose}, {self.processes} × {self.threads}"


def _work(crew: Crew, steps: int, spellings: "SimpleQueue[str | None]", start: Barrier) -> None:
    keep_memory()
    torch.set_num_threads(crew.threads)
    images = torch.randn(64, 1, 28, 28)
    while (spelling := spellings.get()) is not None:
        arch = parse_arch(spelling)
        step = step_of(our_network(arch) if crew.is_ours else Network(arch, CLASSES), images)
        for _ in range(3):
            step()
        start.wait()
        for _ in range(steps):
            step()
        start.wait()


def compare_processes(spellings: Sequence[str], cores: int, repeats: int, steps: int) -> None:
    """All cores as processes of one thread against one process of all threads.

    All processes live at once, the crews take turns, and who waits its turn sleeps.
    """
    context = multiprocessing.get_context("spawn")
    crews = [
        Crew(processes, cores // processes, is_ours)
        for is_ours in (True, False)
        for processes in (cores, 1)
    ]
    queues = {crew: context.SimpleQueue() for crew in crews}
    barriers = {crew: context.Barrier(crew.processes + 1, timeout=600) for crew in crews}
    workers = [
        context.Process(target=_work, args=(crew, steps, queues[crew], barriers[crew]), daemon=True)
        for crew in crews
        for _ in range(crew.processes)
    ]
    for worker in workers:
        worker.start()

    def rate(crew: Crew, spelling: str) -> float:
        for _ in range(crew.processes):
            queues[crew].put(spelling)
        barriers[crew].wait()
        started = time.perf_counter()
        barriers[crew].wait()
        return crew.processes * steps / (time.perf_counter() - started)

    turns = [
        [{crew: rate(crew, spelling) for crew in crews} for _ in range(repeats)]
        for spelling in spellings
    ]
    for crew in crews:
        for _ in range(crew.processes):
            queues[crew].put(None)
    for worker in workers:
        worker.join()
        check(worker.exitcode == 0, f"a process ended with {worker.exitcode}")
    print(
        f"\n{cores} cores, batch 64: {cores} processes of 1 thread train so many times as fast as "
        f"1 process of {cores} threads (of each member the median of {repeats} turns)"
    )
    apart, together, plain_apart, plain = crews
    for one, other in ((apart, together), (plain_apart, plain), (apart, plain)):
        found = [float(np.median([turn[one] / turn[other] for turn in each])) for each in turns]
        print(
            f"  {one} against {other}: median {np.median(found):.2f}, from {min(found):.2f} to "
            f"{max(found):.2f}"
        )


def sweep(every: int) -> None:
    """Forward and backward of single blocks of one in `every` shapes, on one thread, batch 64."""
    ratios = {}
    for channels, side, stride, kernel, expand, squeeze in SHAPES[::every]:
        kind = "ds" if expand == 1 else "ir"
        stage = f"{kind}_r1_k{kernel}_s{stride}_e{expand}_c{channels}{squeeze}"
        arch = parse_arch(f"r{side}-i1-s{channels}_s1-[{stage}]-h0")
        x = torch.randn(64, channels, side, side).contiguous(memory_format=torch.channels_last)
        steps = {
            OURS: block_step(our_network(arch), x),
            "plain": block_step(Network(arch, CLASSES), x),
        }
        seconds = take_turns(steps, 5)
        ratios[stage, side] = float(np.median(seconds["plain"] / seconds[OURS]))
    worst = min(ratios, key=ratios.__getitem__)
    found = np.array(list(ratios.values()))
    print(
        f"\n{len(found)} shapes of block, 1 thread, plain channels_last as times of ours: median "
        f"{np.median(found):.2f}, 5–95%: {np.percentile(found, 5):.2f}–"
        f"{np.percentile(found, 95):.2f}, least {found.min():.2f} ({worst[0]} at {worst[1]} px); "
        f"{(found < 1).sum()} slower than plain"
    )


def block_step(network: Network, x: torch.Tensor) -> Step:
    """Seconds of forward and backward of the network's first block."""
    stage = network.train().stages[0]
    assert isinstance(stage, nn.Sequential)
    block = stage[0].to(memory_format=torch.channels_last)
    x = x.clone(memory_format=torch.preserve_format).requires_grad_()

    def step() -> float:
        started = time.perf_counter()
        block(x).sum().backward()
        return time.perf_counter() - started

    return step


def roofline(repeats: int, megabytes: int) -> None:
    """Blocks of the space on one thread: the least time possible as a share of what was taken.

    The least is the larger of: 6 operations per multiply-add (forward and both gradients) at the
    peak; reading and writing each convolution's output once forward and twice backward at the
    bandwidth of a copy that does not fit the cache.
    """
    a = torch.randn(2048, 2048)
    peak = 2 * 2048**3 / min(timed(lambda: a @ a) for _ in range(4 * repeats))
    source, target = torch.randn(megabytes << 18), torch.empty(megabytes << 18)
    copied = min(timed(lambda: target.copy_(source)) for _ in range(4 * repeats))
    bandwidth = 2 * 4 * source.numel() / copied
    print(
        f"\n1 thread: products {peak / 1e9:.0f}·10⁹ operations/s, copies {bandwidth / 1e9:.1f} GB/s"
    )
    print("  block (batch 64)             10⁹ operations/s   of peak   least/taken ours   plain")
    for stage, side in (
        ("ds_r2_k3_s1_e1_c32", 14), ("ds_r2_k7_s1_e1_c32", 14), ("ir_r2_k3_s1_e4_c24", 14),
        ("ir_r2_k7_s1_e6_c24_se0.25", 14), ("ir_r2_k5_s1_e4_c48", 7),
        ("ir_r2_k5_s1_e6_c96_se0.25", 4),
    ):  # fmt: skip
        width = stage.split("_c")[1].split("_")[0]
        arch = parse_arch(f"r{side}-i1-s{width}_s1-[{stage}]-h0")
        images = torch.randn(64, 1, side, side)
        steps = {
            OURS: step_of(our_network(arch), images),
            "plain": step_of(Network(arch, CLASSES), images),
        }
        seconds = take_turns(steps, repeats)
        cost = count(arch, CLASSES)
        operations = 6 * 64 * cost.macs
        traffic = 4 * 64 * 6 * cost.activations
        least = max(operations / peak, traffic / bandwidth)
        taken = {name: float(np.median(each)) for name, each in seconds.items()}
        rate = operations / taken[OURS]
        print(
            f"  {stage:30} {rate / 1e9:16.1f} {rate / peak:9.0%}"
            f" {least / taken[OURS]:14.0%} {least / taken['plain']:10.0%}"
        )


def timed(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
