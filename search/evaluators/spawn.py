"""Worker processes that know nothing of the program that starts them but its packages.

A process that Python spawns runs the parent's main module again, in case the work is defined
there. Ours never is; and a script without `if __name__ == "__main__":`, a notebook, or a program
read from standard input would begin its search once more in each worker, or fail there.
"""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import context
from multiprocessing.context import SpawnContext, SpawnProcess
from typing import Any

_one_at_a_time = threading.Lock()


class _Process(SpawnProcess):
    @staticmethod
    def _Popen(process_obj: Any) -> Any:  # noqa: N802 (the standard library's name)
        with _main_out_of_sight():
            return SpawnProcess._Popen(process_obj)


class _Context(SpawnContext):
    Process = _Process


def spawn_context() -> context.BaseContext:
    """How worker processes are started; what they run must be importable.

    Spawned: a forked child would inherit torch's thread pools in an undefined state.
    """
    return _Context()


@contextmanager
def _main_out_of_sight() -> Iterator[None]:
    """What `multiprocessing.spawn` tells a child of the main module is its spec or its file."""
    main = sys.modules["__main__"]
    with _one_at_a_time:
        known: dict[str, Any] = vars(main)
        names = [name for name in ("__spec__", "__file__") if name in known]
        hidden: dict[str, Any] = {name: known.pop(name) for name in names}
        known["__spec__"] = None
        try:
            yield
        finally:
            del known["__spec__"]
            known.update(hidden)
