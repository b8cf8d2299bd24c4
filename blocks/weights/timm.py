"""How timm names the modules of a network."""

from operator import attrgetter
from typing import Final

from blocks.arch import ArchSpec
from blocks.arch.walk import walk
from blocks.weights.names import Names, conv_norm, parts

# timm/models/_efficientnet_blocks.py: our part → their convolution and normalisation.
_TIMM_PARTS: Final = {
    "ir": {
        "expand": ("conv_pw", "bn1"),
        "depthwise": ("conv_dw", "bn2"),
        "project": ("conv_pwl", "bn3"),
    },
    "ds": {"depthwise": ("conv_dw", "bn1"), "project": ("conv_pw", "bn2")},
    "er": {"expand": ("conv_exp", "bn1"), "project": ("conv_pwl", "bn2")},
    "cn": {"spatial": ("conv", "bn1")},
}


def timm_stages(arch: ArchSpec) -> list[int]:
    """Which of timm's stages each of ours is a part of.

    timm writes neighbours that differ in their expansion alone as one stage (MobileNetV3).
    """
    alike = attrgetter("block", "kernel", "channels", "se_ratio", "skip", "groups", "act")
    stages = [0]
    for before, stage in zip(arch.stages, arch.stages[1:], strict=False):
        continues = stage.stride == 1 and alike(stage) == alike(before)
        stages.append(stages[-1] + (not continues))
    return stages


def timm(arch: ArchSpec) -> Names:
    yield from conv_norm("stem", "conv_stem", "bn1")
    stages = timm_stages(arch)
    blocks_before: dict[int, int] = {}
    for block in walk(arch):
        stage = stages[block.stage_index]
        theirs = f"blocks.{stage}.{blocks_before.setdefault(stage, 0)}"
        blocks_before[stage] += 1
        for part in parts(block):
            if part == "squeeze_excite":
                yield f"{block.name}.{part}.fc1", f"{theirs}.se.conv_reduce"
                yield f"{block.name}.{part}.fc2", f"{theirs}.se.conv_expand"
            elif block.stage.block in _TIMM_PARTS:  # a bottleneck has no name there
                conv, norm = _TIMM_PARTS[block.stage.block][part]
                yield from conv_norm(f"{block.name}.{part}", f"{theirs}.{conv}", f"{theirs}.{norm}")
    if arch.head_hidden:  # MobileNetV3: the head is the last stage, the hidden layer a convolution
        last = stages[-1] + 1
        yield from conv_norm("head", f"blocks.{last}.0.conv", f"blocks.{last}.0.bn1")
        yield "hidden.0", "conv_head"
    else:
        yield from conv_norm("head", "conv_head", "bn2")
    yield "classifier", "classifier"
