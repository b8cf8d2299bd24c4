"""How many trainings run side by side: planned from the machine, once per study."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import torch

from blocks.cost import count
from blocks.latency import device
from search.config.schema import RunConfig
from search.data.batches import PREPARED
from search.data.resized import mapped
from search.data.splits import ImageData
from search.record.folder import StudyFolder
from search.space.choices import SearchSpace
from search.training.device import gpus, kind_of, resolve_device
from search.training.evaluate import EVALUATED

PROCESS_BYTES: Final = 2**30
"""Of a training process without its maps: PyTorch and its libraries."""
MAPS: Final = 4
"""Copies of all convolutions' outputs that a training step holds, gradients included."""
CONTROL_GROUPS: Final = Path("/sys/fs/cgroup")


def plan_workers(
    config: RunConfig, space: SearchSpace, data: ImageData, folder: StudyFolder | None = None
) -> int:
    """How many trainings run side by side: `workers.count`, or where that is 0, as many as the
    cores and the memory allow.

    A study that exists keeps the number that it began with: how much a sampler knows when it is
    asked, and with it what it proposes, depends on how many trainings are in flight.
    """
    if config.workers.count:
        return config.workers.count
    if folder is not None and (folder / "config.yaml").exists():
        stored = folder.read_config().workers.count
        if stored:
            return stored
    device = resolve_device(config.workers.device, config.where.elsewhere)
    if config.executor == "ray" and config.where.elsewhere:
        from search.evaluators.executors.on_ray import room  # an extra

        return room(config.ray, config.workers.threads, kind_of(device) == "cuda")
    largest = count(space.largest(), data.num_classes).activations
    batch = min(config.proxy.batch_size, len(data.train))
    each = PROCESS_BYTES + 4 * max(MAPS * batch, EVALUATED) * largest
    # Images at other resolutions than the proxy's, which are shared, are each process's own,
    # unless they are mapped.
    sizes = {space.image.at_height(int(each)) for each in space.choices["resolution"]}
    own = sizes - {config.proxy.size}
    kept = (size.area for size in own if not mapped(data, size))
    pixels = sum(sorted(kept, reverse=True)[:PREPARED])
    # Folds are views of a ring, which has most images twice.
    images = len(data.train) * (1 if data.folds is None else 2) + len(data.val) + len(data.test)
    each += images * data.in_channels * pixels
    found = workers_for(config.workers.threads, each)
    if kind_of(device) == "cuda":
        found = max(1, min(found, workers_on_gpus(gpus(device), each)))
    return found


def workers_on_gpus(numbers: Sequence[int], each_bytes: int) -> int:
    """Processes of so many bytes that fit these GPUs, as many on each: workers take them in turn.

    Each also has a context and libraries there, of the same order as in the machine's memory.
    """
    room = min(torch.cuda.mem_get_info(number)[0] // each_bytes for number in numbers)
    return max(1, room) * len(numbers)


def workers_for(threads: int, each_bytes: int) -> int:
    """Processes of so many threads and bytes that fit this machine; one at least."""
    free, cores = available_bytes(), available_cores()
    by_memory = cores if free is None else free // each_bytes
    return max(1, min(cores // threads, by_memory))


def available_cores() -> int:
    """Cores that this process may use: by its affinity, and by its control groups' quotas."""
    found = device.available_cores()
    for group in _control_groups():
        quota, _, period = _read(group / "cpu.max").partition(" ")
        if quota.isdecimal() and period.isdecimal() and int(period):
            found = min(found, max(1, int(quota) // int(period)))
    return found


def available_bytes() -> int | None:
    """Memory that processes may still take: of the machine, and within the limits of its control
    groups (a container's); None where Linux does not tell."""
    found = [
        int(line.split()[1]) * 1024
        for line in _read(Path("/proc/meminfo")).splitlines()
        if line.startswith("MemAvailable:")
    ]
    for group in _control_groups():
        most, taken = _read(group / "memory.max"), _read(group / "memory.current")
        if most.isdecimal() and taken.isdecimal():
            stat = dict(
                line.split() for line in _read(group / "memory.stat").splitlines() if " " in line
            )
            cache = int(stat.get("inactive_file", 0))  # given back when asked for
            found.append(max(0, int(most) - int(taken) + cache))
    return min(found) if found else None


def _control_groups(root: Path = CONTROL_GROUPS) -> list[Path]:
    """This process's control group (version 2) and those above it."""
    for line in _read(Path("/proc/self/cgroup")).splitlines():
        if line.startswith("0::"):
            own = root / line.removeprefix("0::").strip().lstrip("/")
            return [own, *(above for above in own.parents if above.is_relative_to(root))]
    return []


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return ""
