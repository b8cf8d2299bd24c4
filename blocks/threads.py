"""Threads: of the libraries for linear algebra and trees, and for many files."""

from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import wraps
from typing import Final, ParamSpec, TypeVar

from threadpoolctl import threadpool_limits

from blocks.latency.device import available_cores

Given = ParamSpec("Given")
Found = TypeVar("Found")
Item = TypeVar("Item")

_SIDE_BY_SIDE: Final = 64
"""Files from which on several threads are worth starting."""


def on_one_thread(function: Callable[Given, Found]) -> Callable[Given, Found]:
    """A function whose BLAS and OpenMP calls use one thread: for many small ones.

    Threads that share little work mostly wait for one another, and where other work runs beside
    them they wait for that too: 16 times as long was seen on two cores.
    """

    @wraps(function)
    def alone(*args: Given.args, **kwargs: Given.kwargs) -> Found:
        with threadpool_limits(1):
            return function(*args, **kwargs)

    return alone


def side_by_side(
    work: Callable[[Item], Found], items: Sequence[Item]
) -> Generator[Found, None, None]:
    """`map` in as many threads as this process has cores: for what leaves Python's lock alone,
    as reading, hashing and Pillow's decoding and resizing do."""
    cores = available_cores()
    if len(items) < _SIDE_BY_SIDE or cores == 1:
        yield from map(work, items)
        return
    with ThreadPoolExecutor(cores) as pool:
        yield from pool.map(work, items)
