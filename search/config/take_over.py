"""`--take-over`: go on with a study whose driver has died on another machine."""

import os
from collections.abc import Sequence
from typing import Final

FLAG: Final = "--take-over"
VARIABLE: Final = "COMPOUND_NAS_TAKE_OVER"
"""Of the environment: what the flag sets, for the steps of a command and for Python too."""


def read_take_over(arguments: Sequence[str]) -> list[str]:
    """The arguments without the flag, which then holds for this process and those it starts."""
    if FLAG in arguments:
        os.environ[VARIABLE] = "1"
    return [each for each in arguments if each != FLAG]


def takes_over() -> bool:
    """Whether a study may be taken over."""
    return bool(os.environ.get(VARIABLE))
