"""`python -m blocks list|show|draw|lite|load|profile|latency-table|predict|export`."""

import argparse
import importlib
import sys
from pathlib import Path
from typing import Final, NoReturn

if __name__ == "__main__" and Path(sys.path[0]) == Path.cwd() != Path(__file__).parents[1]:
    del sys.path[0]  # `python -m` looks into the current folder first, which is the user's own

from blocks.console import run_main
from blocks.errors import CompoundNasError
from blocks.names import did_you_mean

HELP = """\
usage: python -m blocks COMMAND ARCH [OPTIONS]

commands
  list           the published networks and what they cost
  show           stages, cost and memory of a network
  draw           a picture of a network, or of two with what differs: --output FILE.svg or .png
  lite           its Lite form (no squeeze-excite, ReLU6, unscaled ends), and what changed
  load           read foreign weights (timm, torchvision, EfficientNet-PyTorch), every tensor of
                 them; classify images with them; write them in any of those layouts
  profile        latency and throughput on this device: batch sizes, runtimes, threads
  latency-table  measure blocks of networks on this device, to predict latency from
  predict        the latency of a network by such a table, with the table's measured error
  export         ONNX, torch.export, safetensors; int8; checked against torch on real images

ARCH is a name that `list` prints, a spelling r...-s...-[...]-h..., or a YAML file that a search or
a family wrote. `python -m blocks COMMAND --help` lists a command's options.

examples
  python -m blocks show efficientnet_b3
  python -m blocks draw efficientnet_b0 efficientnet_lite0 --output both.svg
  python -m blocks lite efficientnet_b3
  python -m blocks load efficientnet_b0 weights.pth --from timm --output b0.safetensors
  python -m blocks profile efficientnet_lite0 --batch 1,16 --runtime eager,onnxruntime
  python -m blocks export results/main/b0.yaml --to onnx
"""

COMMANDS: Final = {
    "list": "blocks.commands.list_networks",
    "show": "blocks.commands.show",
    "draw": "blocks.commands.draw",
    "lite": "blocks.commands.lite",
    "load": "blocks.commands.load",
    "profile": "blocks.commands.profile",
    "latency-table": "blocks.commands.latency_table",
    "predict": "blocks.commands.predict",
    "export": "blocks.commands.export",
}
"""Name → module with `configure(parser)` and `run(arguments)`; imported when it is called."""


class _Parser(argparse.ArgumentParser):
    """argparse, but a mistake is one line like any other."""

    def error(self, message: str) -> NoReturn:
        raise CompoundNasError(f"{message} ({self.prog} --help lists the options)")


def main(arguments: list[str]) -> None:
    """Run one subcommand; exits with 2 after a user's mistake, 130 after Ctrl-C."""
    if not arguments or arguments[0] in ("-h", "--help"):
        print(HELP, end="")
        sys.exit(0 if arguments else 2)
    run_main(lambda: _run(arguments[0], arguments[1:]), "no half-written file is left")


def _run(name: str, rest: list[str]) -> None:
    if name not in COMMANDS:
        raise CompoundNasError(
            f"unknown command {name!r}; expected {', '.join(COMMANDS)}"
            f"{did_you_mean(name, COMMANDS)}"
        )
    command = importlib.import_module(COMMANDS[name])
    parser = _Parser(prog=f"python -m blocks {name}", description=command.__doc__)
    command.configure(parser)
    from blocks import messages

    with messages.on_screen():
        command.run(parser.parse_args(rest))


if __name__ == "__main__":
    main(sys.argv[1:])
