"""How many trainings run side by side: planned from the machine, once per study."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Final

import torch

from blocks.cost import count
from search.config import RunConfig
from search.device import resolve_device
from search.record import StudyFolder
from search.space import SearchSpace

PROCESS_BYTES: Final = 2**30
"""Of a training process without its maps: PyTorch and its libraries, images at one resolution."""
MAPS: Final = 4
"""Copies of all convolutions' outputs that a training step holds, gradients included."""


def plan_workers(
    config: RunConfig, space: SearchSpace, num_classes: int, folder: StudyFolder | None = None
) -> RunConfig:
    """`config`; where `workers.count` is 0, as many as the cores and the memory allow.

    A study that exists keeps the number that it began with: how much a sampler knows when it is
    asked, and with it what it proposes, depends on how many trainings are in flight.
    """
    if config.workers.count:
        return config
    if folder is not None and (folder / "config.yaml").exists():
        found = folder.read_config().workers.count
    else:
        largest = count(space.largest(), num_classes).activations
        each = PROCESS_BYTES + MAPS * 4 * config.proxy.batch_size * largest
        found = workers_for(config.workers.threads, each)
        if resolve_device(config.workers.device) == "cuda":
            # Each process also has a context and libraries there, of the same order.
            found = max(1, min(found, torch.cuda.mem_get_info()[0] // each))
    return replace(config, workers=replace(config.workers, count=found))


def workers_for(threads: int, each_bytes: int) -> int:
    """Processes of so many threads and bytes that fit this machine; one at least."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    free = available_bytes()
    by_memory = (cores or 1) if free is None else free // each_bytes
    return max(1, min((cores or 1) // threads, by_memory))


def available_bytes() -> int | None:
    """Memory that processes may still take, as Linux tells it; None elsewhere."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    for line in lines:
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return None
