"""`python -m blocks list`."""

import argparse

from rich.table import Table

from blocks.console import console, millions
from blocks.cost import count
from blocks.zoo import TF_PREFIX, ZOO


def configure(parser: argparse.ArgumentParser) -> None:
    del parser  # nothing to choose


def run(arguments: argparse.Namespace) -> None:
    del arguments
    table = Table(box=None, pad_edge=False)
    for heading in ("name", "resolution", "blocks", "params", "macs", "flops_fvcore"):
        table.add_column(heading, justify="left" if heading == "name" else "right", no_wrap=True)
    for name, arch in ZOO.items():
        cost = count(arch)
        blocks = sum(stage.repeats for stage in arch.stages)
        table.add_row(
            name,
            str(arch.image),
            str(blocks),
            f"{cost.params:,}",
            millions(cost.macs),
            millions(cost.flops_fvcore),
        )
    console.print(table)
    console.print(
        f"{len(ZOO)} networks, at 1,000 classes. `{TF_PREFIX}` before a name: as TensorFlow "
        "trained it (padding same, epsilon 0.001)."
    )
