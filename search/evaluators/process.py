"""Processes: children that do not outlive their parent, and a Ctrl-C that breaks nothing."""

import ctypes
import os
import signal
import threading
import time
from collections.abc import Collection, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import contextmanager
from types import FrameType
from typing import Any, Final

PARENT_VARIABLE = "COMPOUND_NAS_PARENT"
"""Where a parent leaves its process number for a command that it runs as a step of its own."""


def die_with(parent: int) -> None:
    """End this process within a second of its parent's end, rather than train for nobody."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def keep_memory() -> None:
    """Have the C library keep the maps that this process frees (glibc; nothing happens elsewhere).

    A training step asks for the same megabytes as the one before. Much of it may go back to the
    system in between, and each page that comes again is cleared first.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if os.name == "posix" else None
    # Before glibc 2.35 larger thresholds than 32 MiB are refused.
    if mallopt is not None and (mallopt(_MMAP_THRESHOLD, 2**30) or mallopt(_MMAP_THRESHOLD, 2**25)):
        mallopt(_TRIM_THRESHOLD, 2**31 - 1)
        mallopt(_TOP_PAD, 2**26)


def give_back_memory() -> None:
    """Give the system what the C library keeps of freed memory (glibc; else nothing happens)."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if os.name == "posix" else None
    if trim is not None:
        trim(0)


_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3
"""Parameters of mallopt(3), in bytes: what is freed at the heap's end beyond the first goes back,
the heap grows by the second, what is larger than the third is no part of it."""
_POLL_SECONDS: Final = 0.2
_asked_to_stop = threading.Event()


@contextmanager
def deferred_interrupts() -> Iterator[None]:
    """Within, Ctrl-C and a polite kill only leave a note, which `check_interrupt` reads.

    An exception may come between any two instructions of any library: inside NumPy it becomes
    another error, inside a process pool it leaves a lock held. A second Ctrl-C comes at once.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # signals reach the main thread alone
        return
    _asked_to_stop.clear()
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number in before:
        signal.signal(number, _note)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        _asked_to_stop.clear()


def check_interrupt() -> None:
    """A place where stopping breaks nothing.

    Raises:
        KeyboardInterrupt: somebody asked to stop.
    """
    if _asked_to_stop.is_set():
        raise KeyboardInterrupt


def await_any(futures: Collection["Future[Any]"]) -> set["Future[Any]"]:
    """Those of `futures` that are done, at least one; `check_interrupt` is called meanwhile."""
    while True:
        check_interrupt()
        done = wait(futures, _POLL_SECONDS, FIRST_COMPLETED).done
        if done:
            return done


def _note(number: int, frame: FrameType | None) -> None:
    if _asked_to_stop.is_set():
        raise KeyboardInterrupt
    _asked_to_stop.set()
