"""`count_many` over random members of a search space, beside `count` one by one.

    python results/benchmarks/count_many.py --members 100000 --repeats 5

Both run in turns on the same members in one process, on one thread; every number must agree.
The time is that of counting alone: drawing the members is timed apart.
"""

import random
import time

import numpy as np
from harness import check, make_parser, parse, print_foot, spread

from blocks.cost import count, count_many
from search.config.compose import compose_config
from search.config.schema import RunConfig
from search.space.budget import Budget
from search.space.choices import build_space


def main() -> None:
    parser = make_parser(__doc__, seed=0)
    parser.add_argument("--members", type=int, default=100_000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--space", default="efficientnet")
    parser.add_argument("--resolution", type=int, default=224)
    arguments = parse(parser, members=1000, repeats=2)
    config = compose_config("config", [f"space={arguments.space}"], RunConfig)
    space = build_space(config.space, arguments.resolution, 3, 1000, Budget("macs", 10**12))
    draw = random.Random(arguments.seed)
    started = time.perf_counter()
    members = [
        space.build({name: draw.choice(values) for name, values in space.choices.items()})
        for _ in range(arguments.members)
    ]
    drawing = time.perf_counter() - started
    many_seconds, each_seconds = [], []
    for _ in range(arguments.repeats):
        started = time.perf_counter()
        columns = count_many(members)
        many_seconds.append(time.perf_counter() - started)
        started = time.perf_counter()
        each = [count(member) for member in members]
        each_seconds.append(time.perf_counter() - started)
    check(len(columns) == len(each) == arguments.members, "some members were not counted")
    check(all(columns[row] == cost for row, cost in enumerate(each)), "count_many and count differ")
    ratios = np.array(each_seconds) / np.array(many_seconds)
    print(f"{len(members):,} members of space={arguments.space}: every number equal")
    print(f"drawing them took {drawing:.2f} s")
    for name, seconds in (("count_many", many_seconds), ("count one by one", each_seconds)):
        print(f"{name}: median {spread(seconds, 3, 0, 100)} s, {len(seconds)} repeats")
    print(f"count_many is {spread(ratios, 1, 0, 100)} times faster")
    print_foot(arguments)


if __name__ == "__main__":
    main()
