"""A Ray cluster of two nodes in processes of their own, of which one is killed at work.

    python tests/faults/ray_node.py

Prints `all done` where every job came to its result all the same.
"""

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from search.config.places import RayConfig, Where
from search.config.settled import SettledWorkers
from search.evaluators.pool import WorkerPool


def work(seconds: float) -> str:
    """Take some time, and say on which node."""
    import ray

    time.sleep(seconds)
    return str(ray.get_runtime_context().get_node_id())


def main() -> None:
    from ray.cluster_utils import Cluster

    from tests.faults.ray_node import work as job  # which its workers can import

    cluster = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False}
    )
    try:
        second = cluster.add_node(num_cpus=1)
        cluster.wait_for_nodes()
        where = Where("ray", RayConfig(address=cluster.address))
        with WorkerPool(job, SettledWorkers(2), where) as pool:
            # Both at work, so that the second node is known to work too.
            nodes = {future.result(120) for future in [pool.evaluate(3.0) for _ in range(2)]}
            assert len(nodes) == 2, nodes
            futures = [pool.evaluate(4.0) for _ in range(2)]
            time.sleep(1.5)
            cluster.remove_node(second, allow_graceful=False)
            left = {future.result(120) for future in futures}
        assert len(left) == 1, left
        assert left < nodes, (left, nodes)
        print("all done")
    finally:
        cluster.shutdown()


if __name__ == "__main__":
    main()
