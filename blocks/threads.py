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
_RUN: Final = 32
"""Of them that a thread takes at a time: to take one costs as much as to look a small file up."""


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
    length = min(_RUN, -(-len(items) // (4 * cores)))
    runs = (items[first : first + length] for first in range(0, len(items), length))
    with ThreadPoolExecutor(cores) as pool:
        for found in pool.map(lambda run: [work(item) for item in run], runs):
            yield from found
