"""Threads of the libraries for linear algebra and trees."""

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from threadpoolctl import threadpool_limits

Given = ParamSpec("Given")
Found = TypeVar("Found")


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
