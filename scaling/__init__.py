"""What grows a network into a family.

    from blocks.zoo import EFFICIENTNET_B0
    from scaling import RULES, fit, scale, solve_family, train

    wide = scale(EFFICIENTNET_B0, width=1.4)
    family = solve_family(EFFICIENTNET_B0, coefficients=(1.2, 1.1, 1.15), phis=[0, 1, 2])
    found = fit(study="main", points=24)
    found.coefficients, found.intervals, found.verdict
    train(study="main", member="b0").trained[0].network()

Nothing is printed, and nothing heavy imported, before it is used.
"""

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from scaling.compound import PAPER, ScalingCoefficients, ScalingError, scale
    from scaling.face import compare, emit, fit, solve_family, train
    from scaling.inference.face import evaluate, predict
    from scaling.rules import RULES

__all__ = [
    "PAPER",
    "RULES",
    "ScalingCoefficients",
    "ScalingError",
    "compare",
    "emit",
    "evaluate",
    "fit",
    "predict",
    "scale",
    "solve_family",
    "train",
]

_HOMES: Final = {
    "PAPER": "scaling.compound",
    "RULES": "scaling.rules",
    "ScalingCoefficients": "scaling.compound",
    "ScalingError": "scaling.compound",
    "compare": "scaling.face",
    "emit": "scaling.face",
    "evaluate": "scaling.inference.face",
    "fit": "scaling.face",
    "predict": "scaling.inference.face",
    "scale": "scaling.compound",
    "solve_family": "scaling.face",
    "train": "scaling.face",
}
"""Name → the module that it is imported from when it is first used (PEP 562)."""


def __getattr__(name: str) -> Any:
    from blocks.lazy import imported  # not before: `python -m` may still find the user's `blocks`

    return imported(__name__, _HOMES, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
