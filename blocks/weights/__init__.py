"""Weights files of other libraries: read, mapped onto our networks and back."""

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from blocks.weights.fit import load_weights
    from blocks.weights.rename import from_foreign, to_foreign

__all__ = ["from_foreign", "load_weights", "to_foreign"]

_HOMES: Final = {
    "from_foreign": "blocks.weights.rename",
    "load_weights": "blocks.weights.fit",
    "to_foreign": "blocks.weights.rename",
}
"""Name → the module that it is imported from when it is first used (PEP 562)."""


def __getattr__(name: str) -> Any:
    from blocks.lazy import imported

    return imported(__name__, _HOMES, name)
