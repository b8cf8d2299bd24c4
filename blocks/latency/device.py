"""The device that is measured: its name, its cores, and how many of them PyTorch uses."""

import contextlib
import os
from collections.abc import Iterator

from blocks.machine import processor


def available_cores() -> int:
    """Cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def device_name(device: str = "cpu") -> str:
    """The name of the processor, or of the GPU."""
    if device == "cpu":
        return processor()
    import torch

    return torch.cuda.get_device_name()


@contextlib.contextmanager
def torch_threads(threads: int) -> Iterator[None]:
    """PyTorch's number of threads, set and put back."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
