"""What every layout is written in: pairs of module names, ours and theirs.

A *layout* is how a library names the modules of a network. Each is written as a table of module
names for each kind of block, so that it can be read beside the library's code; the tensors below
a module (`weight`, `running_mean`, …) are called the same everywhere.
"""

from collections.abc import Iterator

from blocks.arch import BOTTLENECKS
from blocks.arch.walk import Block

Names = Iterator[tuple[str, str]]
"""(module of ours, module of theirs)."""


def parts(block: Block) -> list[str]:
    """The convolutions of a block in the order of execution, by our names."""
    kind = block.stage.block
    if kind in BOTTLENECKS:
        return ["reduce", "spatial", "expand"]
    if kind == "cn":
        return ["spatial"]
    middle = ["squeeze_excite"] if block.stage.se_ratio else []
    if kind == "er":
        return ["expand", *middle, "project"]
    return [*(["expand"] if kind == "ir" else []), "depthwise", *middle, "project"]


def conv_norm(ours: str, conv: str, norm: str) -> Names:
    yield f"{ours}.conv", conv
    yield f"{ours}.norm", norm
