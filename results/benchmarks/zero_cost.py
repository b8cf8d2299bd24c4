"""Zero-cost scores of random members of a search space: seconds per architecture.

    python results/benchmarks/zero_cost.py --members 100 --max-macs 2M

Each score is timed apart, on one thread, in turns over the same members and one batch of the
shipped Fashion-MNIST; building the network is timed beside them. One member is scored first, and
not timed.
"""

import argparse
import random
import time

import numpy as np
import torch

from blocks.cost import count
from blocks.machine import machine, versions
from blocks.network import Network
from search.config.compose import compose_config
from search.config.schema import RunConfig
from search.data.batches import prepare
from search.data.datasets import load_data
from search.space.choices import build_space
from search.training.zero_cost import SCORES, draw_batch


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--members", type=int, default=100)
    parser.add_argument("--max-macs", default="2M")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    config = compose_config("config", [f"budget.max_macs={arguments.max_macs}"], RunConfig)
    data = load_data(config.dataset, config.proxy.resolution)
    images, labels = draw_batch(prepare(data, config.proxy.resolution), arguments.seed)
    space = build_space(
        config.space,
        config.proxy.resolution,
        data.in_channels,
        data.num_classes,
        config.cost_budget,
    )
    draw = random.Random(arguments.seed)
    members = []
    while len(members) <= arguments.members:
        member = space.build({name: draw.choice(values) for name, values in space.choices.items()})
        if count(member, data.num_classes).macs <= config.max_macs:
            members.append(member)
    seconds: dict[str, list[float]] = {name: [] for name in ("build", *SCORES)}
    torch.manual_seed(arguments.seed)
    for member in members:
        started = time.perf_counter()
        network = Network(member, data.num_classes).to(memory_format=torch.channels_last)
        seconds["build"].append(time.perf_counter() - started)
        for name, score in SCORES.items():
            started = time.perf_counter()
            score(network, images, labels)
            seconds[name].append(time.perf_counter() - started)
    timed = {name: np.array(spent[1:]) for name, spent in seconds.items()}
    timed["all together"] = np.sum(list(timed.values()), axis=0)
    print(
        f"{arguments.members} members of space=tiny up to {arguments.max_macs} macs at "
        f"{config.proxy.resolution} px, a batch of {len(images)}, one thread; milliseconds"
    )
    for name, spent in timed.items():
        low, median, high = 1e3 * np.percentile(spent, [5, 50, 95])
        print(f"{name:>12}: median {median:6.1f} (5-95%: {low:.1f}-{high:.1f})")
    print(f"seed {arguments.seed}, {machine()}, {versions()}")


if __name__ == "__main__":
    main()
