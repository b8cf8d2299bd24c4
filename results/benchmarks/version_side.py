"""One side of against_version.py: does what it is asked with whatever version it can import.

No benchmark itself. It reads a request as a line of JSON, `{"work": NAME, "steps": N, …}`, and
answers with a line: `{"seconds": …}` of each step, or `{"missing": why}` where this version cannot
do it. Modules that moved are looked for under their new and their old names.
"""

import importlib
import json
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F

CLASSES = 10
Work = Callable[[], object]
Request = dict[str, Any]


def find(attribute: str, *modules: str) -> Any:
    """`attribute` of the first of these modules that has it.

    Raises:
        LookupError: none has.
    """
    for name in modules:
        try:
            return getattr(importlib.import_module(name), attribute)
        except (ImportError, AttributeError):
            continue
    raise LookupError(f"no {attribute} in {' or '.join(modules)}")


def step(request: Request) -> Work:
    """A training step of a network by the compiled operators, where they can be had."""
    parse_arch = find("parse_arch", "blocks.arch")
    find("keep_memory", "search.evaluators.process", "search.process")()
    network = find("Network", "blocks.network")(parse_arch(request["arch"]), CLASSES)
    find("accelerate", "blocks.native")(network)
    network = network.train().to(memory_format=torch.channels_last)
    side, channels = network.arch.resolution, network.arch.in_channels
    images = torch.randn(request["batch"], channels, side, side)
    images = images.contiguous(memory_format=torch.channels_last)
    labels = torch.arange(len(images)) % CLASSES
    optimizer = torch.optim.AdamW(network.parameters(), 1e-3, fused=True)

    def work() -> None:
        loss = F.cross_entropy(network(images), labels)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    return work


def epoch(request: Request) -> Work:
    """A whole proxy training of an epoch, on the shipped images, with its validation."""
    parse_arch = find("parse_arch", "blocks.arch")
    train = find("train", "search.training.train", "search.training")
    load_data = find("load_data", "search.data.datasets", "search.data")
    prepare = find("prepare", "search.data.batches", "search.data.datasets", "search.data")
    dataset = find("DatasetConfig", "search.config.schema", "search.config")(name="fashion_mnist")
    proxy = find("ProxyConfig", "search.config.schema", "search.config")(precision="fp32")
    arch = parse_arch(request["arch"])
    batches = prepare(load_data(dataset, arch.resolution), arch.resolution)
    return lambda: train(arch, CLASSES, batches, proxy, 1, 0)


def count_each(request: Request) -> Work:
    """`count` of every network."""
    count, parse_arch = find("count", "blocks.cost"), find("parse_arch", "blocks.arch")
    archs = [parse_arch(each) for each in request["archs"]]
    return lambda: [count(each, CLASSES) for each in archs]


def count_many(request: Request) -> Work:
    """`count_many` of them together."""
    count, parse_arch = find("count_many", "blocks.cost"), find("parse_arch", "blocks.arch")
    archs = [parse_arch(each) for each in request["archs"]]
    return lambda: count(archs, CLASSES)


def parse(request: Request) -> Work:
    """`parse_arch` of every spelling."""
    parse_arch = find("parse_arch", "blocks.arch")
    return lambda: [parse_arch(each) for each in request["archs"]]


WORKS: dict[str, Callable[[Request], Work]] = {
    "step": step,
    "epoch": epoch,
    "count": count_each,
    "count_many": count_many,
    "parse": parse,
}


def timed(work: Work, steps: int) -> list[float]:
    seconds = []
    for _ in range(steps):
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    return seconds


def main(requests: Sequence[str] | None = None) -> None:
    torch.set_num_threads(1)
    where = importlib.import_module("blocks").__file__
    print(json.dumps({"blocks": where}), flush=True)
    prepared: dict[str, Work] = {}
    for line in sys.stdin if requests is None else requests:
        request = json.loads(line)
        name = request["name"]
        try:
            if name not in prepared:
                torch.manual_seed(0)
                prepared[name] = WORKS[request["work"]](request)
            answer: dict[str, object] = {"seconds": timed(prepared[name], request["steps"])}
        except LookupError as error:
            answer = {"missing": str(error)}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
