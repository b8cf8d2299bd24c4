"""`python -m blocks lite ARCH`."""

import argparse
from pathlib import Path

from blocks.console import console, millions
from blocks.cost import count
from blocks.lite import lite
from blocks.subject import read_subject
from blocks.zoo import EFFICIENTNET_B0, LITE_RESOLUTIONS, TF_PREFIX, ZOO


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("arch", help="a name of the zoo, a spelling, or a YAML file of a family")
    parser.add_argument(
        "--base",
        help="the network that ARCH was scaled up from, whose stem, head, and repeats of first "
        "and last stage stay (default: B0 for efficientnet_b1…l2, the b0.yaml beside a family's "
        "file, else ARCH itself)",
    )
    parser.add_argument(
        "--resolution",
        type=int,
        metavar="PX",
        help="(default: that of Lite0–4 for efficientnet_b0–b4, else ARCH's own)",
    )


def run(arguments: argparse.Namespace) -> None:
    subject = read_subject(arguments.arch)
    name = subject.name.removeprefix(TF_PREFIX)
    base = None
    if arguments.base is not None:
        base = read_subject(arguments.base).arch
    elif name in ZOO and name.startswith(("efficientnet_b", "efficientnet_l2")):
        base = EFFICIENTNET_B0
    elif (
        Path(arguments.arch).suffix == ".yaml"
        and (sibling := Path(arguments.arch).with_name("b0.yaml")).is_file()
    ):
        base = read_subject(str(sibling)).arch
        console.print(f"  base {sibling}")
    resolution = arguments.resolution
    if resolution is None:
        resolution = LITE_RESOLUTIONS.get(name)
    arch, changes = lite(subject.arch, base, resolution)
    for line in changes or ["nothing changed: it is in its Lite form"]:
        console.print(f"  {line}")
    before, after = (count(each, subject.num_classes) for each in (subject.arch, arch))
    console.print(f"  params {before.params:,} → {after.params:,}")
    console.print(f"  macs {millions(before.macs)} → {millions(after.macs)}")
    console.print(str(arch))
