"""Names of a package that are imported when they are first used (PEP 562).

A package's face hands on names of modules that pull in torch, NumPy or Optuna. `import` and
`--help` need none of them.
"""

import importlib
import sys
from collections.abc import Mapping
from typing import Any


def imported(package: str, homes: Mapping[str, str], name: str) -> Any:
    """What a package's `__getattr__` answers: `homes` says which module defines each name.

    Raises:
        AttributeError: the package hands on no such name.
    """
    if name not in homes:
        raise AttributeError(f"module {package!r} has no attribute {name!r}")
    found = getattr(importlib.import_module(homes[name]), name)
    setattr(sys.modules[package], name, found)
    return found
