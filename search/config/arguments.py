"""What the command lines read of their arguments before Hydra does; it imports nothing heavy."""

import sys
from collections.abc import Sequence

from blocks.console import fail
from search.errors import did_you_mean


def read_command(
    arguments: Sequence[str], commands: Sequence[str], usage: str
) -> tuple[str, list[str]]:
    """The subcommand and its settings; prints the usage where asked, or where nothing is said."""
    if not arguments or arguments[0] in ("-h", "--help", "help") or "--help" in arguments:
        print(usage, end="")
        sys.exit(0 if arguments else 2)
    command = arguments[0]
    if command not in commands:
        fail(
            f"unknown command {command!r}; expected {', '.join(commands)}"
            f"{did_you_mean(command, commands)}"
        )
    return command, list(arguments[1:])
