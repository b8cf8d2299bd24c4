"""`python -m scaling verify`."""

import sys

from blocks.console import console
from scaling.settings import read_settings
from scaling.verify.run import verify


def run(arguments: list[str]) -> None:
    """Say what of a family is not as recorded; exits with 1 where something is not."""
    found = verify(read_settings(arguments))
    for difference in found.differences:
        console.print(difference, markup=False)
    if found.differences:
        console.print(f"{found.study}: {len(found.differences)} differences from the record")
        sys.exit(1)
    console.print(f"{found.study}: {found.members} members rebuilt and recounted, all as recorded")
