"""Names a user may misspell: is this one known, and which known one is near."""

import difflib
from collections.abc import Iterable, Sequence

from blocks.errors import CompoundNasError


def few(names: Sequence[str]) -> str:
    """The first three, and whether there are more."""
    return ", ".join(names[:3]) + (", …" if len(names) > 3 else "")


def counted(number: int, one: str, more: str | None = None) -> str:
    """`1 image`, `2,000 images`; `more`: what is said of another number than 1, else one with s."""
    return f"{number:,} {one if number == 1 else more or one + 's'}"


def did_you_mean(word: object, known: Iterable[str]) -> str:
    """` (did you mean 'x'?)`, or nothing where no known word is near."""
    close = difflib.get_close_matches(str(word), list(known), 1, cutoff=0.5)
    return f" (did you mean {close[0]!r}?)" if close else ""


def choose(
    name: str,
    value: str,
    known: Iterable[str],
    error: type[CompoundNasError],
    lead: str = "one of ",
) -> str:
    """`value`, if it is one of `known`; `name` is the setting that it stands in.

    `lead` stands before the known values in the message.

    Raises:
        CompoundNasError: it is not; of the class `error`, with the nearest known value.
    """
    known = list(known)
    if value not in known:
        raise error(
            f"{name}={value} is unknown; expected {lead}{', '.join(known)}"
            f"{did_you_mean(value, known)}"
        )
    return value
