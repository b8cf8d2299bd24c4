"""How EfficientNet-PyTorch names the modules of a network."""

from blocks.arch import ArchSpec
from blocks.arch.walk import walk
from blocks.weights.names import Names, conv_norm, parts


def efficientnet_pytorch(arch: ArchSpec) -> Names:
    """lukemelas/EfficientNet-PyTorch: underscores, blocks numbered through."""
    names = {
        "expand": ("_expand_conv", "_bn0"),
        "depthwise": ("_depthwise_conv", "_bn1"),
        "project": ("_project_conv", "_bn2"),
    }
    yield from conv_norm("stem", "_conv_stem", "_bn0")
    for number, block in enumerate(walk(arch)):
        theirs = f"_blocks.{number}"
        for part in parts(block):
            if part == "squeeze_excite":
                yield f"{block.name}.{part}.fc1", f"{theirs}._se_reduce"
                yield f"{block.name}.{part}.fc2", f"{theirs}._se_expand"
            elif part in names:
                conv, norm = names[part]
                yield from conv_norm(f"{block.name}.{part}", f"{theirs}.{conv}", f"{theirs}.{norm}")
    yield from conv_norm("head", "_conv_head", "_bn1")
    yield "classifier", "_fc"
