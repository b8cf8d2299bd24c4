"""What a trial costs more by `executor=ray` or `submitit` than by `processes`, all on this machine.

    python results/benchmarks/executors.py --repeats 5 --trials 12

All executors are open at once, each with as many workers, and take turns. Twice: jobs that do
nothing, one after another, whose round trip is what an executor itself takes; and real trainings
on the shipped images, as many at once as there are workers, of which the trials an hour are
compared in each repeat. Their metrics must be the same by all. `submitit` is its local executor.
The start of an executor is timed on its own; it is paid once in a search.
"""

import contextlib
import operator
import time

import numpy as np
from harness import check, check_finite, make_parser, parse, print_foot, spread
from opening import add_search_arguments, open_search

from search.config.places import RayConfig, SlurmConfig, Where
from search.config.settled import SettledWorkers
from search.evaluators.executors.on_ray import connect
from search.evaluators.pool import WorkerPool
from search.evaluators.train import Job, TrainEvaluator, make_job
from search.space.members import draw_members

NAMES = ("processes", "ray", "submitit")


def main() -> None:
    parser = make_parser(__doc__, seed=0)
    add_search_arguments(parser)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--trials", type=int, default=12, help="networks of each repeat")
    parser.add_argument("--epochs", type=int, default=2, help="of every training")
    parser.add_argument("--round-trips", type=int, default=100, help="of jobs that do nothing")
    arguments = parse(
        parser, workers=1, images=300, repeats=1, trials=1, epochs=1, round_trips=5
    )  # fmt: skip
    arguments.workers = arguments.workers or 2
    settings = [f"seed={arguments.seed}", f"proxy.epochs={arguments.epochs}", "workers.device=cpu"]
    opened = open_search(settings, arguments)
    config, data = opened.config, opened.data
    spellings = draw_members(opened.members, arguments.repeats * arguments.trials, arguments.seed)
    ray, _ = connect(RayConfig(), arguments.workers, 0)  # as many at once as by the others
    wheres = {name: Where(name, slurm=SlurmConfig(cluster="local")) for name in NAMES}
    with contextlib.ExitStack() as stack:
        idle: dict[str, WorkerPool[int, int]] = {
            name: stack.enter_context(WorkerPool(operator.neg, SettledWorkers(1), where))
            for name, where in wheres.items()
        }
        measure_round_trips(idle, arguments.round_trips)
    with contextlib.ExitStack() as stack:
        pools = {}
        for name, where in wheres.items():
            started = time.perf_counter()
            pools[name] = stack.enter_context(
                TrainEvaluator(data, config.training, config.workers, where=where)
            )
            warm = [make_job(spellings[0], 1, 1, number) for number in range(arguments.workers)]
            for future in [pools[name].evaluate(job) for job in warm]:
                future.result()
            print(f"{name}: {time.perf_counter() - started:.1f} s until all workers have trained")
        measure_trainings(pools, spellings, arguments.trials, arguments.epochs, arguments.seed)
    ray.shutdown()
    print_foot(arguments, "ray", "submitit")


def measure_round_trips(pools: dict[str, WorkerPool[int, int]], count: int) -> None:
    """Seconds from a job to its result, one at a time, by turns."""
    seconds: dict[str, list[float]] = {name: [] for name in pools}
    for name, pool in pools.items():
        check(pool.evaluate(-1).result() == 1, name)  # its worker has begun
    for number in range(count):
        for name, pool in pools.items():
            started = time.perf_counter()
            check(pool.evaluate(number).result() == -number, name)
            seconds[name].append(time.perf_counter() - started)
    own = np.median(seconds["processes"])
    for name, each in seconds.items():
        check_finite(f"round trips by {name}", each, low=0, high=60)
        print(
            f"{name}: a job that does nothing takes {spread(1000 * np.array(each), 1)} ms, "
            f"{1000 * (np.median(each) - own):+.1f} ms beside processes"
        )


def measure_trainings(
    pools: dict[str, TrainEvaluator], spellings: list[str], trials: int, epochs: int, seed: int
) -> None:
    """Trials an hour of each, and its ratio to processes in each repeat."""
    ratios: dict[str, list[float]] = {name: [] for name in pools}
    later: dict[str, list[float]] = {name: [] for name in pools}
    for number, start in enumerate(range(0, len(spellings), trials)):
        jobs = [make_job(each, epochs, seed) for each in spellings[start : start + trials]]
        seconds, found = {}, {}
        turn = [*pools][number % len(pools) :] + [*pools][: number % len(pools)]
        for name in turn:
            started = time.perf_counter()
            found[name] = trained(pools[name], jobs)
            seconds[name] = time.perf_counter() - started
        for name, each in seconds.items():
            check(found[name] == found["processes"], f"{name}: other metrics than by processes")
            ratios[name].append(seconds["processes"] / each)
            later[name].append((each - seconds["processes"]) / len(jobs))
        line = ", ".join(f"{name} {seconds[name]:.1f} s" for name in pools)
        print(f"repeat {number + 1}, {len(jobs)} trainings: {line}", flush=True)
    for name in pools:
        check_finite(f"ratios of {name}", ratios[name], low=0.01, high=100)
        print(
            f"{name}: {spread(ratios[name])} times the trials an hour of processes, "
            f"{spread(later[name])} s a trial"
        )


def trained(pool: TrainEvaluator, jobs: list[Job]) -> list[dict[str, float]]:
    futures = [pool.evaluate(job) for job in jobs]
    return [future.result().metrics for future in futures]


if __name__ == "__main__":
    main()
