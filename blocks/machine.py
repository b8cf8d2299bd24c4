"""The machine and the software behind a number."""

import os
import platform
from importlib import metadata
from typing import Final

_PACKAGES: Final = ("compound-nas", "torch", "torchvision", "optuna", "fvcore", "numpy")


def versions(*more: str) -> dict[str, str]:
    """Versions of what a result depends on; `more` are further packages."""
    found = {"python": platform.python_version()}
    for name in (*_PACKAGES, *more):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def processor() -> str:
    """The processor's name, as the system tells it."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            for line in lines:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def machine() -> str:
    """One phrase for the foot of a table: processor and cores."""
    return f"{os.cpu_count()} cores of {processor()}"


def runs(pid: int) -> bool:
    """Whether a process of this machine is there, whoever's it is."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
