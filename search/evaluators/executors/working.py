"""What every worker does, wherever it runs: settle in, then one job after another."""

import contextlib
import faulthandler
import gc
import os
import signal
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch

from blocks import messages
from blocks.errors import ArchError, one_line
from search.config.quantities import parse_quantity
from search.config.settled import SettledWorkers
from search.errors import DataError, TrainingError
from search.evaluators.process import keep_memory
from search.training.deadline import set_deadline

TRANSIENT: Final = ("killed", "node")
"""Kinds of failure that are no fault of a candidate: it is begun again, a few times."""
LOG_LINES: Final = 5
"""Of what a worker said before it failed, the last."""
GRACE: Final = 60.0
"""Seconds beyond its time after which a training that does not answer is ended with its worker."""
OVERDUE: Final = "Timeout ("
"""What `faulthandler` writes before it ends such a worker."""


@dataclass(frozen=True)
class Limits:
    """What one training may take: minutes of wall clock, bytes beyond what a worker begins with."""

    minutes: float | None = None
    memory: int | None = None

    @classmethod
    def of(cls, workers: SettledWorkers) -> "Limits":
        """As the settings say."""
        memory = workers.memory
        return cls(
            workers.minutes,
            None if memory is None else parse_quantity("workers.memory", memory),
        )


def settle_in(threads: int, device: int | None, limits: Limits, shows_messages: bool) -> None:
    """Make this process a worker; `device`: the number of its GPU, where it has one."""
    if shows_messages:
        messages.show()
    # Ctrl-C reaches the whole process group; only the parent decides what happens then.
    with contextlib.suppress(ValueError):  # not in the main thread, which takes the signals
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    keep_memory()
    torch.set_num_threads(threads)
    torch.backends.cudnn.deterministic = True  # the same seed, the same network
    if device is not None:
        torch.cuda.set_device(device)
    if limits.memory is not None:
        _limit_memory(limits.memory, device)
    # What is loaded by now stays: a training step need not look through it for garbage.
    gc.collect()
    gc.freeze()


def _limit_memory(most: int, device: int | None) -> None:
    """Have what is asked for beyond be refused, which is a failure of the job alone."""
    if device is not None:
        whole = torch.cuda.get_device_properties(device).total_memory
        torch.cuda.set_per_process_memory_fraction(min(1.0, most / whole), device)
        return
    import resource  # not on Windows

    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    # Not what it shares, as the images, which are in memory once for all workers.
    whole = most + _taken()
    if hard != resource.RLIM_INFINITY:
        whole = min(whole, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (whole, hard))


def _taken() -> int:
    """Bytes of its own that this process has: PyTorch alone is a GB of them."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
        return next(1024 * int(line.split()[1]) for line in lines if line.startswith("VmData:"))
    except (OSError, StopIteration):  # not Linux, which does not count so either
        return 2**30


def attempt(work: Callable[[Any], Any], job: Any, limits: Limits) -> Any:
    """The job's result.

    Raises:
        TrainingError: with its kind: nan, oom, timeout, build, data or error, and where in the
            code it failed.
    """
    with _limited(limits):
        try:
            return work(job)
        except TrainingError:
            raise
        except MemoryError as error:
            raise _failed("oom", error, one_line(error) or "out of memory") from None
        except ArchError as error:
            raise _failed("build", error) from None
        except DataError as error:
            raise _failed("data", error) from None
        except (RuntimeError, ValueError, LookupError) as error:
            message = one_line(error)
            kind = "oom" if any(words in message for words in _NO_MEMORY) else "error"
            if kind == "error" and isinstance(error, _FAULT):
                # Nothing works on a device after a fault of it, in this process: the job is tried
                # once more in a new one, and the next ones are not blamed.
                os._exit(1)
            raise _failed(kind, error) from None


_FAULT: Final = getattr(torch, "AcceleratorError", ())
"""A fault of a device; of no class of its own before torch 2.8."""
_NO_MEMORY: Final = ("allocate memory", "out of memory", "bad_alloc")


@contextlib.contextmanager
def _limited(limits: Limits) -> Iterator[None]:
    if limits.minutes is None:
        yield
        return
    set_deadline(limits.minutes)
    # For what does not come to the next batch: a library that hangs.
    faulthandler.dump_traceback_later(60 * limits.minutes + GRACE, exit=True)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()
        set_deadline(None)


def _failed(kind: str, error: BaseException, message: str | None = None) -> TrainingError:
    where = traceback.extract_tb(error.__traceback__)[-LOG_LINES:]
    log = [f"{frame.filename}:{frame.lineno} {frame.name}: {frame.line}" for frame in where]
    return TrainingError(kind, message or one_line(error), log)
