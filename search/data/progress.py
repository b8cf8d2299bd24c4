"""How far a long reading of many files is, in lines."""

import time
from typing import Final

from blocks.messages import say

_SAID_AFTER: Final = 10.0
"""Seconds between two lines."""


class Progress:
    """Of `total` images or files (`what`), how many are `done` (decoded, read)."""

    def __init__(self, done: str, total: int, what: str) -> None:
        self._words, self._total = (done, what), total
        self._begun = self._said = time.monotonic()

    def at(self, done: int) -> None:
        """So many are done: said now and then, unless all are."""
        now = time.monotonic()
        if now - self._said > _SAID_AFTER and done < self._total:
            self._said = now
            left = (now - self._begun) / done * (self._total - done)
            verb, what = self._words
            say(f"{verb} {done:,} of {self._total:,} {what}, about {left:.0f} s left")
