"""`python -m blocks COMMAND`: what a network is, costs, weighs, and how it leaves."""

import argparse
import importlib
import sys
from typing import Final, NoReturn

from blocks.console import run_main
from blocks.errors import CompoundNasError

COMMANDS: Final = {
    "list": ("blocks.commands.list_networks", "the published networks and what they cost"),
    "show": ("blocks.commands.show", "stages, cost and memory of a network"),
    "lite": ("blocks.commands.lite", "its Lite form: no squeeze-excite, ReLU6, fixed ends"),
    "load": ("blocks.commands.load", "read foreign weights, check them, write them"),
    "profile": ("blocks.commands.profile", "measure latency and throughput on this device"),
    "latency-table": ("blocks.commands.latency_table", "measure blocks, to predict latency from"),
    "predict": ("blocks.commands.predict", "latency predicted from such a table"),
    "export": ("blocks.commands.export", "ONNX, torch.export, safetensors; int8"),
}
"""Name → (module with `configure` and `run`, one line of help)."""


class _Parser(argparse.ArgumentParser):
    """argparse, but a mistake is one line like any other."""

    def error(self, message: str) -> NoReturn:
        raise CompoundNasError(f"{message} ({self.prog} --help lists what there is)")


def main() -> None:
    parser = _Parser(prog="python -m blocks", description=__doc__)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, (module, line) in COMMANDS.items():
        command = commands.add_parser(name, help=line, description=line)
        if name in sys.argv[1:2]:  # only the command that runs is imported
            importlib.import_module(module).configure(command)
    arguments = parser.parse_args()
    importlib.import_module(COMMANDS[arguments.command][0]).run(arguments)


if __name__ == "__main__":
    run_main(main, after_interrupt="nothing half-written is left")
    sys.exit(0)
