"""What finds a network: spaces, samplers, proxy training, the trial loop and its records.

From Python:

    from search import Study, run

    study = run(study="pets", dataset={"name": "imagefolder", "root": "pets"},
                budget={"target": "2M"})
    study.front()
    study.baseline.network()

Nothing heavy is imported until a name is used.
"""

import importlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from search.config.schema import RunConfig
    from search.data.face import load_data
    from search.space.choices import SearchSpace
    from search.study.face import run
    from search.study.objective import Objective
    from search.study.study import Study

__all__ = ["Objective", "RunConfig", "SearchSpace", "Study", "load_data", "run"]

_HOMES: Final = {
    "Objective": "search.study.objective",
    "RunConfig": "search.config.schema",
    "SearchSpace": "search.space.choices",
    "Study": "search.study.study",
    "load_data": "search.data.face",
    "run": "search.study.face",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'search' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
