"""Zero-cost scores of random members of a search space: seconds per architecture.

    python results/benchmarks/zero_cost.py --members 100 --max-macs 2M

Each score is timed apart, on one thread, in turns over the same members and one batch of the
shipped Fashion-MNIST; building the network is timed beside them. One member is scored first, and
not timed.
"""

import random
import time

import numpy as np
import torch
from harness import check_finite, make_parser, parse, print_foot, spread

from blocks.arch import ArchSpec
from blocks.cost import count
from blocks.network import Network
from search.config.compose import compose_config
from search.config.schema import RunConfig
from search.data.batches import prepare
from search.study.settle import open_members
from search.training.zero_cost import SCORES, draw_batch


def main() -> None:
    parser = make_parser(__doc__, seed=0)
    parser.add_argument("--members", type=int, default=100)
    parser.add_argument("--max-macs", default="2M")
    arguments = parse(parser, members=3)
    torch.set_num_threads(1)
    config: RunConfig = compose_config(
        "config", [f"budget.max_macs={arguments.max_macs}"], RunConfig
    )
    data, feasible = open_members(config)
    space = feasible.space
    images, labels = draw_batch(prepare(data, config.proxy.resolution), arguments.seed)
    draw = random.Random(arguments.seed)
    members: list[ArchSpec] = []
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
            check_finite(name, score(network, images, labels))
            seconds[name].append(time.perf_counter() - started)
    timed = {name: np.array(spent[1:]) for name, spent in seconds.items()}
    timed["all together"] = np.sum(list(timed.values()), axis=0)
    print(
        f"{arguments.members} members of space=tiny up to {arguments.max_macs} macs at "
        f"{config.proxy.resolution} px, a batch of {len(images)}, one thread; milliseconds"
    )
    for name, spent in timed.items():
        print(f"{name:>12}: median {spread(1e3 * spent, 1)}")
    print_foot(arguments)


if __name__ == "__main__":
    main()
