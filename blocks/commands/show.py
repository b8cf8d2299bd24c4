"""`python -m blocks show ARCH`."""

import argparse
from dataclasses import asdict

from rich.table import Table

from blocks.arch import BLOCKS, ArchSpec
from blocks.arch.walk import walk
from blocks.console import console
from blocks.cost import Cost, count, count_by_stage
from blocks.memory import memory
from blocks.subject import read_subject


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("arch", help="a name of the zoo, a spelling, or a YAML file of a family")
    parser.add_argument("--num-classes", type=int, default=None, metavar="N")


def run(arguments: argparse.Namespace) -> None:
    subject = read_subject(arguments.arch, arguments.num_classes)
    console.print(f"{subject.name}: {subject.arch}", whole=True)
    console.print(_stages(subject.arch, subject.num_classes))
    used = dict.fromkeys(stage.block for stage in subject.arch.stages)
    for block in used:
        console.print(f"  {block}: {BLOCKS[block]}")
    console.print(_totals(count(subject.arch, subject.num_classes)))
    needs = memory(subject.arch, subject.num_classes)
    for name, size in [*asdict(needs).items(), ("peak", needs.peak)]:
        console.print(f"{'memory ' + name:24} {size:>15,} bytes")
    console.print(
        f"for one image of {subject.arch.in_channels}×{subject.arch.image.height}×"
        f"{subject.arch.image.width} and {subject.num_classes:,} classes; peak is fp32"
    )


def _stages(arch: ArchSpec, num_classes: int) -> Table:
    # Narrow columns under the letters of the spelling, so that a terminal of 80 holds a row.
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    for heading in ("stage", "block", "r", "k", "s", "e", "c", "se", "act", "map"):
        left = heading in ("stage", "block", "act")
        table.add_column(heading, justify="left" if left else "right", no_wrap=True)
    for heading in ("params", "macs"):
        table.add_column(heading, justify="right", no_wrap=True)
    costs = count_by_stage(arch, num_classes)
    stem = f"conv{' pool' if arch.stem_pool else ''}"
    table.add_row(
        "stem", stem, "1", str(arch.stem_kernel), str(arch.stem_stride), "", str(arch.stem), "",
        arch.act, str(arch.image.strided(arch.stem_stride)), *_cost(costs[0]),
    )  # fmt: skip
    leaving = [block.out_map for block in walk(arch) if block.is_last]
    for number, (stage, leaves) in enumerate(zip(arch.stages, leaving, strict=True), 1):
        groups = f" g{stage.groups}" if stage.groups > 1 else ""
        shortcut = "" if stage.skip else " noskip"
        table.add_row(
            str(number),
            f"{stage.block}{groups}{shortcut}",
            str(stage.repeats),
            str(stage.kernel),
            str(stage.stride),
            f"{stage.expand_ratio:g}",
            str(stage.channels),
            f"{stage.se_ratio:g}" if stage.se_ratio else "",
            stage.act or arch.act,
            str(leaves),
            *_cost(costs[number]),
        )
    hidden = f" {arch.head_hidden}" if arch.head_hidden else ""
    table.add_row(
        "head", "conv" if arch.head else "pool", "1", "1" if arch.head else "", "", "",
        f"{arch.head or arch.stages[-1].channels}{hidden}", "", arch.act, "1", *_cost(costs[-1]),
    )  # fmt: skip
    return table


def _cost(cost: Cost) -> tuple[str, str]:
    return f"{cost.params:,}", f"{cost.macs:,}"


def _totals(cost: Cost) -> str:
    return "\n".join(f"{name:24} {value:>15,}" for name, value in asdict(cost).items())
