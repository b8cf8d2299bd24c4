"""`python -m blocks draw ARCH [ARCH]`: a picture of a network, or of two with what differs."""

import argparse
from pathlib import Path

from blocks.console import console
from blocks.drawing.face import checked, draw


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("arch", help="a name of the zoo, a spelling, or a YAML file of a family")
    parser.add_argument(
        "other", nargs="?", metavar="ARCH", help="a second one, drawn below; differences are marked"
    )
    parser.add_argument("--num-classes", type=int, default=None, metavar="N")
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("network.svg"),
        metavar="FILE",
        help="ends in .svg (light or dark as the reader's screen) or .png (default: %(default)s)",
    )


def run(arguments: argparse.Namespace) -> None:
    target = checked(arguments.output)
    picture = draw(arguments.arch, arguments.other, arguments.num_classes)
    console.print(f"wrote {picture.save(target)}")
