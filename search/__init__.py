"""What finds a network: spaces, samplers, proxy training, the trial loop and its records.

From Python:

    from search import Study, run

    study = run(study="pets", dataset={"name": "imagefolder", "root": "pets"},
                budget={"target": "2M"})
    study.front()
    study.baseline.network()

Nothing heavy is imported until a name is used.
"""

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from search.config.schema import RunConfig
    from search.data.face import load_data
    from search.look.face import look_at
    from search.space.choices import SearchSpace
    from search.study.face import run
    from search.study.objective import Objective
    from search.study.study import Study

__all__ = ["Objective", "RunConfig", "SearchSpace", "Study", "load_data", "look_at", "run"]

_HOMES: Final = {
    "Objective": "search.study.objective",
    "RunConfig": "search.config.schema",
    "SearchSpace": "search.space.choices",
    "Study": "search.study.study",
    "load_data": "search.data.face",
    "look_at": "search.look.face",
    "run": "search.study.face",
}
"""Name → the module that it is imported from when it is first used (PEP 562)."""


def __getattr__(name: str) -> Any:
    from blocks.lazy import imported  # not before: `python -m` may still find the user's `blocks`

    return imported(__name__, _HOMES, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
