"""A profile of ONNX Runtime, split into the units of the network."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from blocks.errors import LatencyError
from blocks.latency.held_out import Floats
from blocks.latency.units import Unit
from blocks.latency.work import convolutions


def assign_nodes(events: Sequence[dict[str, Any]], units: Sequence[Unit]) -> Floats:
    """Milliseconds (runs, units) of a profile by ONNX Runtime.

    Nodes run in the network's order and each convolution of a unit is one node, so that counting
    convolutions tells where a unit ends; what follows a convolution belongs to its unit. A tail
    without a convolution begins with the last pooling.

    Raises:
        LatencyError: the profile has other convolutions than the units.
    """
    owners = [number for number, unit in enumerate(units) for _ in convolutions(unit)]
    runs: list[list[float]] = []
    nodes: list[tuple[str, float]] = []
    for event in sorted(events, key=lambda event: event.get("ts", 0)):
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            nodes.append((event["args"]["op_name"], event["dur"] / 1e3))
        elif event.get("name") == "model_run":
            # A run is stamped when it starts, so that its nodes follow it.
            if nodes:
                runs.append(_unit_sums(nodes, owners, len(units)))
            nodes = []
    if nodes:
        runs.append(_unit_sums(nodes, owners, len(units)))
    return np.array(runs)


def _unit_sums(nodes: list[tuple[str, float]], owners: list[int], units: int) -> list[float]:
    convolving = [index for index, (name, _) in enumerate(nodes) if name.endswith("Conv")]
    if len(convolving) != len(owners):
        raise LatencyError(
            f"ONNX Runtime ran {len(convolving)} convolutions; expected {len(owners)}, so that "
            "its profile cannot be split into blocks"
        )
    starts = dict(zip(convolving, owners, strict=True))
    if owners[-1] != units - 1:
        pooling = [
            index for index, (name, _) in enumerate(nodes) if "Pool" in name or "Mean" in name
        ]
        starts[pooling[-1]] = units - 1
    sums = [0.0] * units
    owner = 0
    for index, (_, ms) in enumerate(nodes):
        owner = starts.get(index, owner)
        sums[owner] += ms
    return sums
