"""The words of the grammar: kinds of block, activations, conventions, and their tokens."""

from typing import Final

BLOCKS: Final = {
    "ir": "MBConv: expand, depthwise, squeeze-excite (MobileNetV2: none), project",
    "ds": "depthwise-separable: the same without the expansion (MBConv1)",
    "er": "Fused-MBConv: k×k expansion, squeeze-excite, project",
    "cn": "Fused-MBConv1: one k×k convolution",
    "bt": "ResNet bottleneck: reduce, k×k, expand, projected shortcut",
    "bx": "ResNeXt bottleneck: the same with a grouped k×k convolution",
}
"""Block token → what it is. `blocks.layers.BLOCK_LAYERS` holds the module of each."""
BOTTLENECKS: Final = ("bt", "bx")
WITHOUT_EXPANSION: Final = ("ds", "cn")
WITH_SQUEEZE_EXCITE: Final = ("ir", "ds", "er")

ACTIVATIONS: Final = {"silu": "nsw", "relu": "nre", "relu6": "nr6", "hard_swish": "nhs"}
"""Activation name → token; the tokens are timm's (`n` for non-linearity)."""
ACTIVATION_OF_TOKEN: Final = {token: name for name, token in ACTIVATIONS.items()}

GATES: Final = ("sigmoid", "hard_sigmoid")
SE_BASES: Final = ("input", "expanded")
PADDINGS: Final = ("symmetric", "same")
MAX_KERNEL: Final = 31
"""The largest kernel that the field trains (RepLKNet, arXiv 2203.06717)."""
