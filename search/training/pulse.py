"""How far a training is, for whoever watches: a worker process tells its driver."""

from collections.abc import Callable

_tell: Callable[[int, int], None] | None = None


def tell_to(heard: Callable[[int, int], None] | None) -> None:
    """From now on, in this process: who hears of epochs done, and of how many; None: nobody."""
    global _tell
    _tell = heard


def tell_epoch(done: int, epochs: int) -> None:
    """So many epochs of a training are done."""
    if _tell is not None:
        _tell(done, epochs)
